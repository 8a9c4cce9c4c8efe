"""The targets of ``asid export``, in one place: those of a study, and those of a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from asid.files import CHECKPOINTS, WEIGHTS
from asid.model.find import find_checkpoint

Target = Literal["csv", "tensorboard", "mlflow", "onnx", "official"]

NETWORKS = Path("results/export")
"""Folder of exported networks, unless another file is named."""


class Exported(NamedTuple):
    """What an export wrote."""

    path: Path
    notes: tuple[str, ...] = ()
    """What a person must know who uses it, a sentence each."""


def export(source: str, target: Target, output: Path | None = None) -> Exported:
    """Write a study or a network for another program; what an earlier export wrote is replaced.

    Args:
        source: For ``csv``, ``tensorboard`` and ``mlflow`` the folder of a study; for ``onnx`` and ``official`` a
            packaged network, a checkpoint, or the folder of a run.
        target: See :mod:`asid.export.study`, :mod:`asid.export.onnx_file` and :mod:`asid.export.official`.
        output: Folder of a study's export, by default ``export/<target>`` in the study's folder; file of a network's,
            by default named after the network, in :data:`NETWORKS`.

    Raises:
        FileNotFoundError: There is no such study or network.
        ValueError: The source cannot be written for the target, or what that needs is not installed.
    """
    write, extra = _TARGETS[target]
    try:
        return write(source, target, output)
    except ImportError as error:
        raise ValueError(f"--to {target}: {error}; install it with: pip install 'asid[{extra}]'") from None


def _study(source: str, target: Target, output: Path | None) -> Exported:
    from asid.ablation.report.results import load_results
    from asid.export.study import WRITERS

    folder = output or Path(source) / "export" / target
    WRITERS[target](load_results(Path(source)), folder)
    return Exported(folder)


def _onnx(source: str, target: Target, output: Path | None) -> Exported:
    from asid.export.onnx_file import write_onnx
    from asid.model.checkpoint import load_checkpoint

    path = output or NETWORKS / f"{_name(source)}.onnx"
    return Exported(path, (write_onnx(load_checkpoint(find_checkpoint(source)), path).sentence(),))


def _official(source: str, target: Target, output: Path | None) -> Exported:
    from asid.export.official import how_to_load, write_official
    from asid.model.checkpoint import load_checkpoint

    network = load_checkpoint(find_checkpoint(source))
    path = output or NETWORKS / f"{_name(source)}-official.pth"
    write_official(network, path)
    return Exported(path, how_to_load(network))


_TARGETS: dict[Target, tuple[Callable[[str, Target, Path | None], Exported], str]] = {
    "csv": (_study, "export"),
    "tensorboard": (_study, "export"),
    "mlflow": (_study, "export"),
    "onnx": (_onnx, "onnx"),
    "official": (_official, ""),
}
"""What writes each target, and the extra of the package that it needs."""


def _name(source: str) -> str:
    """Name of a network: that of its file, or of its run, with the part of the training after which it was kept."""
    path = find_checkpoint(source)
    folder = path.parent.resolve()
    if folder.name == CHECKPOINTS:
        return f"{folder.parent.name}-{path.stem}"
    return folder.name if path.name == WEIGHTS else path.stem
