"""From a source of images in a configuration to files.

A source is ``samples``, the name of a benchmark, or a folder. Only paths are handled here: no image is opened.
"""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from asid.data.benchmarks import BENCHMARKS, ROOT_VARIABLE, Benchmark, find_benchmark
from asid.data.images import ImageError
from asid.data.layouts import Pair, pair_folder, subfolder
from asid.data.photographs import Photograph
from asid.data.samples import sample_paths


def data_root() -> Path | None:
    """Return the folder of all data sets, from :data:`ROOT_VARIABLE`; ``None`` if that is not set."""
    value = os.environ.get(ROOT_VARIABLE)
    return Path(value) if value else None


def find_folders(benchmark: Benchmark, root: str | Path | None = None) -> list[Path]:
    """Find the folders of a benchmark under ``root``, by default under ``ASID_DATA``, or else in the current folder.

    Raises:
        ImageError: A folder is missing; the message says what to download, from where, and to which folder.
    """
    root = Path(root) if root is not None else data_root()
    folders = []
    for paths in benchmark.folders:
        existing = [folder for path in paths if (folder := subfolder(root or Path(), path))]
        if not existing:
            raise ImageError(_how_to_get(benchmark, paths[0], root))
        folders.append(existing[0])
    return folders


def _how_to_get(benchmark: Benchmark, folder: str, root: Path | None) -> str:
    if root is None:
        missing = f"{benchmark.name} not found: set {ROOT_VARIABLE} or --data-root to the folder of your data sets"
    else:
        missing = f"{benchmark.name} not found in {root}: expected a folder {folder}"
    target = Path(root or f"${ROOT_VARIABLE}") / folder
    command = f"run 'asid data download {benchmark.name}', or " if benchmark.archives else ""
    return f"{missing}; to get it, {command}download it from {benchmark.page} into {target}"


def find_pairs(source: str | Path, scale: int | None, root: str | Path | None = None) -> list[Pair]:
    """Find the images of ``source``, sorted by name, each with its LR file at ``scale`` if there is one.

    Args:
        source: ``samples`` (the validation photographs), the name of a benchmark, or a folder in one of the layouts of
            :mod:`asid.data.layouts`.
        scale: Factor of the LR images; ``None`` returns HR images only.
        root: Folder of the data sets, by default ``ASID_DATA``. Only used for names.

    Raises:
        ImageError: The name is unknown, the benchmark is incomplete, or a file is missing, misplaced or one too many;
            the message names it.
    """
    if str(source) == "samples":
        return [Pair(path.stem, path, None) for path in sample_paths("validation")]
    benchmark = find_benchmark(source)
    if benchmark is None:
        if not Path(source).is_dir():
            close = get_close_matches(str(source).lower(), [name.lower() for name in BENCHMARKS], n=1, cutoff=0.75)
            known = find_benchmark(close[0]) if close else None
            hint = f"; did you mean '{known.name}'?" if known else ""
            names = ", ".join(BENCHMARKS)
            raise ImageError(
                f"no folder of images at {source}: expected 'samples', {names}, or an existing folder{hint}"
            )
        return pair_folder(Path(source), scale)
    folders = find_folders(benchmark, root)
    pairs = [pair for folder in folders for pair in pair_folder(folder, scale)]
    if len(pairs) != benchmark.images:
        where = ", ".join(map(str, folders))
        raise ImageError(
            f"{where}: expected the {benchmark.images} images of {benchmark.name}, got {len(pairs)}; "
            "to use the folder as it is, give its path"
        )
    return pairs


def find_images(source: str | Path, *, split: str = "validation", root: str | Path | None = None) -> list[Photograph]:
    """Find the HR photographs of ``source``, sorted by name.

    Args:
        source: As for :func:`find_pairs`.
        split: ``train`` or ``validation``: which of the samples to take. With ``train``, evaluation benchmarks are
            refused.
        root: Folder of the data sets, by default ``ASID_DATA``. Only used for names.

    Raises:
        ImageError: As for :func:`find_pairs`; also an evaluation benchmark that would be trained on.
    """
    if str(source) == "samples":
        return [Photograph(path) for path in sample_paths(split)]
    if split == "train":
        refuse_for_training(source)
    return [Photograph(pair.hr) for pair in find_pairs(source, None, root)]


def refuse_for_training(source: str | Path) -> None:
    """Raise :class:`ImageError` if ``source`` is an evaluation benchmark, by its name or by the name of its folder."""
    benchmark = find_benchmark(source)
    if benchmark is None:
        benchmark = _benchmark_of_folder(Path(source))
    if benchmark and benchmark.use == "evaluation":
        training = ", ".join(item.name for item in BENCHMARKS.values() if item.use == "training")
        raise ImageError(
            f"{source}: {benchmark.name} is for evaluation only, never for training; "
            f"use other images, such as {training}"
        )


def _benchmark_of_folder(folder: Path) -> Benchmark | None:
    """The evaluation set whose usual folder this is, e.g. B100 for ``bsds500/val``; symbolic links are followed."""
    for path in {folder.absolute(), folder.resolve()}:
        parts = [part.lower() for part in path.parts]
        while parts and re.fullmatch(r"hr|lr_bicubic|x\d|image_srf_\d+", parts[-1]):
            parts.pop()
        for benchmark in BENCHMARKS.values():
            if benchmark.use == "evaluation":
                endings = [Path(path.lower()).parts for paths in benchmark.folders for path in paths]
                if any(tuple(parts[-len(ending) :]) == ending for ending in endings):
                    return benchmark
    return None
