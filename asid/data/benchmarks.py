"""The catalogue of benchmarks and training sets: their names, their folders, and where to download them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT_VARIABLE = "ASID_DATA"
"""Environment variable: the folder of all data sets."""


@dataclass(frozen=True)
class Archive:
    """A file to download."""

    url: str
    checksum: str
    """As pooch writes it: ``md5:…``."""
    folder: str
    """The folder, relative to the data root, that the archive unpacks to."""


@dataclass(frozen=True)
class Benchmark:
    """A set of images known by name."""

    name: str
    images: int
    """Number of HR images."""
    use: Literal["evaluation", "training"]
    folders: tuple[tuple[str, ...], ...]
    """The folders that make up the set. For each one: the paths, relative to the data root, where it is looked for,
    ignoring case; the first that exists is used."""
    page: str
    """Web page from which a person can get the set."""
    archives: tuple[Archive, ...] = ()
    """Empty if there is no public file with a known checksum."""
    aliases: tuple[str, ...] = ()


# Checksums as published by other packages. EDSR's archives, DIV2K and Flickr2K: torchSR (github.com/Coloquinte/torchSR,
# torchsr/datasets/benchmarks.py, div2k.py, flickr2k.py); several other packages list the same ones for DIV2K and
# Flickr2K. BSDS500: the dataset class BSDS500 of M. Bermejo's super-resolution package (dataset_md5sum).
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
_DIV2K_FOLDER = ("DIV2K/DIV2K_train_HR", "DIV2K_train_HR", "DIV2K/train")
_FLICKR2K_FOLDER = ("Flickr2K/Flickr2K_HR", "Flickr2K_HR", "Flickr2K")


def _bsds(part: str) -> tuple[str, ...]:
    return tuple(
        f"{folder}/{part}" for folder in ("BSDS500", "BSDS500/images", "BSDS500/data/images", "BSR/BSDS500/data/images")
    )


def _edsr(name: str, *others: str) -> tuple[tuple[str, ...], ...]:
    """Paths of a set in EDSR's collection: its own name, or inside the archive's folder ``benchmark``."""
    return ((name, f"benchmark/{name}", *others),)


_CATALOGUE = (
    Benchmark(
        "Set5",
        5,
        "evaluation",
        _edsr("Set5"),
        "http://people.rennes.inria.fr/Aline.Roumy/results/SR_BMVC12.html",
        (_EDSR,),
    ),
    Benchmark(
        "Set14",
        14,
        "evaluation",
        _edsr("Set14"),
        "https://sites.google.com/site/romanzeyde/research-interests",
        (_EDSR,),
    ),
    Benchmark(
        "B100",
        100,
        "evaluation",
        _edsr("B100", "BSD100", "BSDS100", *_bsds("val")),
        _BSDS_PAGE,
        (_EDSR,),
        aliases=("BSD100", "BSDS100"),
    ),
    Benchmark("Urban100", 100, "evaluation", _edsr("Urban100"), "https://github.com/jbhuang0604/SelfExSR", (_EDSR,)),
    Benchmark("Manga109", 109, "evaluation", _edsr("Manga109"), "http://www.manga109.org/en/ (on request)"),
    Benchmark(
        "DIV2K-valid",
        100,
        "evaluation",
        (("DIV2K/DIV2K_valid_HR", "DIV2K_valid_HR", "DIV2K/valid"),),
        _DIV2K_PAGE,
        (_DIV2K_VALID,),
        aliases=("DIV2K-validation", "DIV2K_valid_HR"),
    ),
    Benchmark("DIV2K", 800, "training", (_DIV2K_FOLDER,), _DIV2K_PAGE, (_DIV2K_TRAIN,), aliases=("DIV2K_train_HR",)),
    Benchmark("Flickr2K", 2650, "training", (_FLICKR2K_FOLDER,), _FLICKR2K_PAGE, (_FLICKR2K,)),
    Benchmark(
        "DF2K",
        3450,
        "training",
        (_DIV2K_FOLDER, _FLICKR2K_FOLDER),
        f"{_DIV2K_PAGE} and {_FLICKR2K_PAGE}",
        (_DIV2K_TRAIN, _FLICKR2K),
    ),
    Benchmark("BSDS500", 400, "training", (_bsds("train"), _bsds("test")), _BSDS_PAGE, (_BSDS500,)),
)
BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _CATALOGUE}
"""Every set that is known by name. BSDS500 means its train and test images, because its 100 validation images are
B100."""


def find_benchmark(name: str | Path) -> Benchmark | None:
    """Return the benchmark with this name or alias, ignoring case, or ``None``. ``./Set5`` is a folder, not a name."""
    wanted = str(name).lower()
    known = (item for item in BENCHMARKS.values() if wanted in (item.name.lower(), *map(str.lower, item.aliases)))
    return next(known, None)
