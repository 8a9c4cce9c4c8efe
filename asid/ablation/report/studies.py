"""Finding the studies under a folder of results."""

from collections.abc import Mapping
from pathlib import Path

from asid.ablation.report.results import ReportError, load_results
from asid.files import STUDY


def find_studies(root: str | Path) -> dict[str, Path]:
    """Find the folders of the studies in ``root``, the committed ones of its ``reference`` last.

    Returns:
        The folders by their path in ``root``.

    Raises:
        ReportError: If there is none.
    """
    root = Path(root)
    folders = [file.parent for pattern in ("*", "reference/*") for file in sorted(root.glob(f"{pattern}/{STUDY}"))]
    if not folders:
        raise ReportError(
            f"no study in {root}: expected <study>/{STUDY} there; run 'asid ablate run ablations/quick.yaml' first"
        )
    return {folder.relative_to(root).as_posix(): folder for folder in folders}


def latest_study(studies: Mapping[str, Path]) -> str:
    """Name the latest study with results.

    One of ``reference`` only if no other has results, and the latest of all if none has.
    """
    latest_first = sorted(studies, key=lambda name: ("/" in name, -(studies[name] / STUDY).stat().st_mtime))
    for name in latest_first:
        try:
            load_results(studies[name])
        except ReportError:
            continue
        return name
    return latest_first[0]
