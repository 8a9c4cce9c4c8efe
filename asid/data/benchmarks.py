"""Benchmarks and training sets by name: what they are, where they are looked for, and where they come from. Paths only."""

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from asid.data.errors import ImageError
from asid.data.layouts import Pair, pair_folder, subfolder
from asid.data.samples import sample_paths

ROOT_VARIABLE = "ASID_DATA"


@dataclass(frozen=True)
class Archive:
    """A file to download: its address, its checksum (``md5:…``), and the folder under the data root that it unpacks to."""

    url: str
    checksum: str
    folder: str


@dataclass(frozen=True)
class Benchmark:
    """A set of images known by name.

    ``places`` are the folders it is made of, each with the paths under the data root where it may be (the first that exists is
    taken, in any case). ``page`` is where a person finds it; ``archives`` is empty where no file with a known checksum is public.
    """

    name: str
    images: int
    use: Literal["evaluation", "training"]
    places: tuple[tuple[str, ...], ...]
    page: str
    archives: tuple[Archive, ...] = ()
    aliases: tuple[str, ...] = ()


# Checksums as public packages use them. EDSR's archives, DIV2K and Flickr2K: torchSR (github.com/Coloquinte/torchSR,
# torchsr/datasets/benchmarks.py, div2k.py, flickr2k.py); those of DIV2K and Flickr2K also stand in other packages. BSDS500: the
# dataset class BSDS500 of M. Bermejo's super-resolution package (dataset_md5sum).
_EDSR = Archive("https://cv.snu.ac.kr/research/EDSR/benchmark.tar", "md5:4ace41d33c2384b97e6b320cd0afd6ba", "benchmark")
_DIV2K_TRAIN = Archive(
    "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_train_HR.zip",
    "md5:bdc2d9338d4e574fe81bf7d158758658",
    "DIV2K/DIV2K_train_HR",
)
_DIV2K_VALID = Archive(
    "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_HR.zip",
    "md5:9fcdda83005c5e5997799b69f955ff88",
    "DIV2K/DIV2K_valid_HR",
)
_FLICKR2K = Archive(
    "https://cv.snu.ac.kr/research/EDSR/Flickr2K.tar", "md5:5d3f39443d5e9489bff8963f8f26cb03", "Flickr2K"
)
_BSDS500 = Archive(
    "https://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
    "md5:0b17383ff0b21fe43d2f28e624203169",
    "BSR",
)

_DIV2K_PAGE = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_FLICKR2K_PAGE = "https://cv.snu.ac.kr/research/EDSR/Flickr2K.tar"
_BSDS_PAGE = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
_DIV2K_PLACE = ("DIV2K/DIV2K_train_HR", "DIV2K_train_HR", "DIV2K/train")
_FLICKR2K_PLACE = ("Flickr2K/Flickr2K_HR", "Flickr2K_HR", "Flickr2K")


def _bsds(part: str) -> tuple[str, ...]:
    return tuple(
        f"{folder}/{part}" for folder in ("BSDS500", "BSDS500/images", "BSDS500/data/images", "BSR/BSDS500/data/images")
    )


def _classical(name: str, *others: str) -> tuple[tuple[str, ...], ...]:
    """Places of a benchmark of EDSR's collection: by its own name, or in the folder ``benchmark`` that the archive makes."""
    return ((name, f"benchmark/{name}", *others),)


_CATALOGUE = (
    Benchmark(
        "Set5",
        5,
        "evaluation",
        _classical("Set5"),
        "http://people.rennes.inria.fr/Aline.Roumy/results/SR_BMVC12.html",
        (_EDSR,),
    ),
    Benchmark(
        "Set14",
        14,
        "evaluation",
        _classical("Set14"),
        "https://sites.google.com/site/romanzeyde/research-interests",
        (_EDSR,),
    ),
    Benchmark(
        "B100",
        100,
        "evaluation",
        _classical("B100", "BSD100", "BSDS100", *_bsds("val")),
        _BSDS_PAGE,
        (_EDSR,),
        aliases=("BSD100", "BSDS100"),
    ),
    Benchmark(
        "Urban100", 100, "evaluation", _classical("Urban100"), "https://github.com/jbhuang0604/SelfExSR", (_EDSR,)
    ),
    Benchmark("Manga109", 109, "evaluation", _classical("Manga109"), "http://www.manga109.org/en/ (on request)"),
    Benchmark(
        "DIV2K-valid",
        100,
        "evaluation",
        (("DIV2K/DIV2K_valid_HR", "DIV2K_valid_HR", "DIV2K/valid"),),
        _DIV2K_PAGE,
        (_DIV2K_VALID,),
        aliases=("DIV2K-validation", "DIV2K_valid_HR"),
    ),
    Benchmark("DIV2K", 800, "training", (_DIV2K_PLACE,), _DIV2K_PAGE, (_DIV2K_TRAIN,), aliases=("DIV2K_train_HR",)),
    Benchmark("Flickr2K", 2650, "training", (_FLICKR2K_PLACE,), _FLICKR2K_PAGE, (_FLICKR2K,)),
    Benchmark(
        "DF2K",
        3450,
        "training",
        (_DIV2K_PLACE, _FLICKR2K_PLACE),
        f"{_DIV2K_PAGE} and {_FLICKR2K_PAGE}",
        (_DIV2K_TRAIN, _FLICKR2K),
    ),
    Benchmark("BSDS500", 400, "training", (_bsds("train"), _bsds("test")), _BSDS_PAGE, (_BSDS500,)),
)
BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _CATALOGUE}
"""Every set that is known by name. BSDS500 is its train and test images: its 100 validation images are B100."""


def data_root() -> Path | None:
    """The folder of all data sets, from the environment variable ASID_DATA; ``None`` where it is not set."""
    value = os.environ.get(ROOT_VARIABLE)
    return Path(value) if value else None


def find_benchmark(name: str | Path) -> Benchmark | None:
    """The benchmark of that name or alias, in any case; ``None`` where there is none. ``./Set5`` is a folder, not a name."""
    wanted = str(name).lower()
    known = (item for item in BENCHMARKS.values() if wanted in (item.name.lower(), *map(str.lower, item.aliases)))
    return next(known, None)


def find_folders(benchmark: Benchmark, root: str | Path | None = None) -> list[Path]:
    """The folders that a benchmark is made of, under ``root``, else under ASID_DATA, else in the current folder.

    Raises :class:`ImageError` that says what to download, from where, to which folder.
    """
    root = Path(root) if root is not None else data_root()
    found = []
    for place in benchmark.places:
        folders = [folder for path in place if (folder := subfolder(root or Path(), path))]
        if not folders:
            raise ImageError(_how_to_get(benchmark, place[0], root))
        found.append(folders[0])
    return found


def _how_to_get(benchmark: Benchmark, folder: str, root: Path | None) -> str:
    if root is None:
        missing = f"no {benchmark.name}: set {ROOT_VARIABLE} or --data-root to the folder of your data sets"
    else:
        missing = f"no {benchmark.name} in {root}: expected a folder {folder}"
    target = Path(root or f"${ROOT_VARIABLE}") / folder
    command = f"run 'asid data download {benchmark.name}', or " if benchmark.archives else ""
    return f"{missing}; to get it, {command}download it from {benchmark.page} into {target}"


def find_pairs(source: str | Path, scale: int | None, root: str | Path | None = None) -> list[Pair]:
    """The images of ``source`` in the order of names, each with its LR file at ``scale`` where there is one.

    Parameters
    ----------
    source : ``samples`` (the validation photographs), the name of a benchmark, or a folder in one of the layouts of
        :mod:`asid.data.layouts`.
    scale : factor of the LR images; ``None``: HR images only.
    root : folder of the data sets, by default ASID_DATA. Only for names.

    Raises
    ------
    ImageError : names what is missing, too much or misplaced; an unknown name; a benchmark that is not complete.
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
            f"{where}: expected the {benchmark.images} images of {benchmark.name}, got {len(pairs)}; to use it as it is, give its path"
        )
    return pairs


def refuse_for_training(source: str | Path) -> None:
    """Raise :class:`ImageError` where ``source`` is a benchmark for evaluation, by its name or by that of its folder."""
    benchmark = find_benchmark(source)
    if benchmark is None:
        benchmark = _benchmark_of_folder(Path(source))
    if benchmark and benchmark.use == "evaluation":
        training = ", ".join(item.name for item in BENCHMARKS.values() if item.use == "training")
        raise ImageError(
            f"{source}: {benchmark.name} is for evaluation, never for training; expected other images, such as {training}"
        )


def _benchmark_of_folder(folder: Path) -> Benchmark | None:
    """The evaluation set whose usual folder this is, e.g. B100 for ``bsds500/val``, also through a symbolic link."""
    for path in {folder.absolute(), folder.resolve()}:
        parts = [part.lower() for part in path.parts]
        while parts and re.fullmatch(r"hr|lr_bicubic|x\d|image_srf_\d+", parts[-1]):
            parts.pop()
        for benchmark in BENCHMARKS.values():
            if benchmark.use == "evaluation":
                endings = [Path(place.lower()).parts for alternatives in benchmark.places for place in alternatives]
                if any(tuple(parts[-len(ending) :]) == ending for ending in endings):
                    return benchmark
    return None
