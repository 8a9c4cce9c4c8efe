"""Checks that take a moment: versions, devices, threads, memory, disk, locale, data sets, write access, the cache."""

import codecs
import locale
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from asid.data.benchmarks import BENCHMARKS
from asid.data.cache import FOLDER_VARIABLE, RESERVE, SIZE_VARIABLE, cache_content, cache_folder, size_limit
from asid.data.images import ImageError
from asid.data.sources import ROOT_VARIABLE, data_root, find_folders, find_pairs
from asid.doctor.finding import Finding
from asid.process import THREADS, chosen_threads

_MEMORY = 2e9
"""Bytes that a training of the smaller networks takes at most, with everything that it imports."""


def versions() -> Iterator[Finding]:
    """Python and the packages, against the ranges that the package declares."""
    about, python = metadata.metadata("asid"), platform.python_version()
    if python in SpecifierSet(about["Requires-Python"]):
        yield Finding("python", f"{python} in {sys.prefix}")
    else:
        text = f"{python}, expected {about['Requires-Python']}"
        yield Finding("python", text, "problem", "make clean && make setup PYTHON=/path/to/python")
    needed = [Requirement(line) for line in metadata.requires("asid") or []]
    needed = [item for item in needed if not item.marker or item.marker.evaluate({"extra": ""})]
    wrong = {item: found for item in needed if (found := _version(item.name)) not in item.specifier}
    for item, found in wrong.items():
        text = f"{item.name} {found or 'is not installed'}, expected {item.specifier}"
        yield Finding("packages", text, "problem", f"{sys.executable} -m pip install '{item.name}{item.specifier}'")
    if not wrong:
        yield Finding("packages", f"asid {about['Version']}; all {len(needed)} packages are in the declared ranges")


def _version(package: str) -> str:
    """Its version without what a distributor added, such as ``+cpu``; empty if it is not installed."""
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def devices() -> Iterator[Finding]:
    """The processor, and what torch can use besides."""
    import torch  # over a second

    from asid.runs.record import provenance

    machine = provenance()
    where = f"{machine['cpu']} ({machine['capability']}), {machine['machine']}, torch {machine['torch']}"
    if machine["gpu"]:
        yield Finding("devices", f"{torch.cuda.device_count()} × {machine['gpu']}; {where}")
    elif torch.backends.mps.is_available():
        yield Finding("devices", f"a GPU by MPS; {where}")
    elif shutil.which("nvidia-smi"):
        text = f"there is nvidia-smi, but torch finds no GPU: an old driver, or torch without CUDA; {where}"
        yield Finding("devices", text, "warning", f"{sys.executable} -m pip install --force-reinstall torch")
    else:
        yield Finding("devices", f"no GPU: trainings run on the CPU; {where}")


def threads() -> Iterator[Finding]:
    """Whether the number of threads is chosen, and how busy the machine is."""
    cores, load = os.cpu_count() or 1, psutil.getloadavg()[0]
    chosen = chosen_threads()
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    set_by = THREADS if chosen else next((name for name in names if name in os.environ), None)
    text = f"{os.environ[set_by]} by {set_by}" if set_by else "chosen by a trial at each start"
    text += f"; {cores} cores, {load:.1f} processes ran or waited for one in the last minute"
    if set_by and os.environ[set_by].isdecimal() and int(os.environ[set_by]) > cores:
        yield Finding("threads", text, "warning", f"unset {set_by}")
    elif load > 1.5 * cores:
        yield Finding("threads", text, "warning", "asid --threads 1 …")
    else:
        yield Finding("threads", text)


def memory() -> Iterator[Finding]:
    """Main memory that is free."""
    now = psutil.virtual_memory()
    text = f"{now.available / 1e9:.1f} of {now.total / 1e9:.1f} GB are free"
    if now.available < _MEMORY:
        yield Finding("memory", text, "warning", "asid ablate run --workers 1 …")
    else:
        yield Finding("memory", text)


def text_encoding() -> Iterator[Finding]:
    """Whether names and terminals have all letters."""
    used = {"file names": sys.getfilesystemencoding(), "files": locale.getpreferredencoding(False)}
    used["terminal"] = getattr(sys.stdout, "encoding", None) or "utf-8"
    other = {what: name for what, name in used.items() if codecs.lookup(name).name != "utf-8"}
    set_by = next((name for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), None)
    chosen = f"{set_by}={os.environ[set_by]}" if set_by else "none is set"
    if other:
        named = ", ".join(f"{what}: {name}" for what, name in other.items())
        text = f"{named} ({chosen}): some letters cannot be shown"
        yield Finding("locale", text, "warning", "export LC_ALL=C.UTF-8")
    else:
        yield Finding("locale", f"UTF-8 ({chosen})")


def data_sets() -> Iterator[Finding]:
    """The folder of the data sets, and which are complete."""
    root = data_root()
    if root is not None and not root.is_dir():
        text = f"{ROOT_VARIABLE}={root}: there is no such folder"
        yield Finding("data", text, "problem", f"mkdir -p '{root}', or export {ROOT_VARIABLE}=/path/to/data")
        return
    complete, broken = [], []
    for benchmark in BENCHMARKS.values():
        try:
            find_folders(benchmark)
        except ImageError:
            continue
        try:
            find_pairs(benchmark.name, None)
            complete.append(benchmark.name)
        except ImageError as error:
            broken.append(Finding("data", str(error), "warning", f"asid data check {benchmark.name}"))
    names = ", ".join(complete) or "none"
    where = root or f"the current folder ({ROOT_VARIABLE} is not set)"
    yield Finding("data", f"the sample photographs; data sets in {where}: {names}")
    yield from broken


def folders() -> Iterator[Finding]:
    """Room and write access where results, images and temporary files go."""
    cached = cache_folder()
    places = {
        "results": (Path.cwd(), "cd to a folder of yours, or give --output"),
        "temporary": (Path(tempfile.gettempdir()), "export TMPDIR=/path/to/a/folder"),
        **({"cache": (cached, f"export {FOLDER_VARIABLE}=/path/to/a/folder")} if cached else {}),
    }
    for name, (folder, elsewhere) in places.items():
        try:
            free = _try_to_write(folder)
        except OSError as error:
            text = f"cannot write to {folder}: {error.strerror or error}"
            # Without a cache each run holds its photographs in memory.
            yield Finding(name, text, "warning" if name == "cache" else "problem", elsewhere)
            continue
        text = f"{folder}: {free / 1e9:.1f} GB free"
        if free < RESERVE:
            yield Finding(name, text, "warning", f"asid data cache --clear, or {elsewhere}")
        else:
            yield Finding(name, text)


def _try_to_write(folder: Path) -> int:
    """Bytes that are free in ``folder``, which is created if necessary, after writing a file there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"asid")
        file.flush()
    return shutil.disk_usage(folder).free


def image_cache() -> Iterator[Finding]:
    """What the cache of photographs holds."""
    if cache_folder() is None:
        text = f"off ({FOLDER_VARIABLE}=off): each run decodes its photographs"
    else:
        content = cache_content()
        text = f"{content.images} images, {content.size / 1e9:.2f} of {size_limit() / 1e9:g} GB"
    yield Finding("images", text)


CHECKS: dict[Callable[[], Iterator[Finding]], tuple[str, str]] = {
    versions: ("packages", "make clean && make setup"),
    devices: ("devices", f"{sys.executable} -m pip install --force-reinstall torch"),
    threads: ("threads", f"unset {THREADS}"),
    memory: ("memory", "asid ablate run --workers 1 …"),
    text_encoding: ("locale", "export LC_ALL=C.UTF-8"),
    data_sets: ("data", f"export {ROOT_VARIABLE}=/path/to/data"),
    folders: ("results", "cd to a folder of yours"),
    image_cache: ("images", f"unset {SIZE_VARIABLE} {FOLDER_VARIABLE}"),
}
"""Each check with its name, and with what fixes it if it fails altogether."""
