"""The folder layouts in which HR and LR images are stored. Only file names are read here: no image is opened.

==========================  ====================================================================================
HR only                     ``Set5/baby.png``
HR/ and LR_bicubic/         ``Set5/HR/baby.png`` and ``Set5/LR_bicubic/X2/babyx2.png``; also with a common prefix:
                            ``DIV2K_valid_HR/0801.png`` and ``DIV2K_valid_LR_bicubic/X2/0801x2.png``
image_SRF_2/                ``Urban100/image_SRF_2/img_001_SRF_2_HR.png`` and ``…/img_001_SRF_2_LR.png``
==========================  ====================================================================================

The LR image of ``baby.png`` may be called ``baby``, ``babyx2``, ``baby_x2`` or ``baby_LRBI_x2``. Case does not matter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asid.data.images import ImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


@dataclass(frozen=True)
class Pair:
    """The files of an HR image and its LR image."""

    name: str
    hr: Path
    lr: Path | None
    """``None`` if there is no LR file: our resize then makes the LR image from the HR image."""


def pair_folder(folder: Path, scale: int | None) -> list[Pair]:
    """List the images of ``folder``, sorted by name, with their LR files.

    Args:
        folder: A folder in one of the layouts above.
        scale: Factor of the LR files; ``None`` lists HR images only.

    Raises:
        ImageError: The folder is missing or empty, an image does not belong to the layout, two have one name, or some
            HR and LR images of this scale have no partner. The message names the file.
    """
    if not folder.is_dir():
        raise ImageError(f"no folder of images at {folder}: expected an existing folder")
    by_scale = {int(match[1]): path for path in [folder, *_subfolders(folder)] if (match := _SRF.fullmatch(path.name))}
    if by_scale:
        chosen = min(by_scale) if scale is None else scale
        if chosen not in by_scale:
            raise ImageError(
                f"no folder image_SRF_{chosen} in {folder}: "
                f"expected one of scale {', '.join(map(str, sorted(by_scale)))}"
            )
        pairs = _pair_srf(by_scale[chosen], chosen)
        return pairs if scale is not None else [Pair(pair.name, pair.hr, None) for pair in pairs]
    hr_folder = subfolder(folder, "HR") or folder
    if hr_folder != folder:
        _refuse_strays(folder, f"expected the HR images in {hr_folder.name}")
    hr = list_images(hr_folder)
    lr_folder = None if scale is None else _lr_folder(hr_folder, scale)
    if scale is None or lr_folder is None:
        return [Pair(path.stem, path, None) for path in _by_stem(hr).values()]
    return _pair_by_stem(hr, lr_folder, scale)


def subfolder(folder: Path, name: str) -> Path | None:
    """Find the folder ``name`` (a relative path) inside ``folder``, ignoring case; ``None`` if it does not exist."""
    for part in Path(name).parts:
        if not folder.is_dir():
            return None
        # Prefer the exact match if two folders differ only in case.
        matches = [path for path in _subfolders(folder) if path.name.lower() == part.lower()]
        if not matches:
            return None
        folder = min(matches, key=lambda path: path.name != part)
    return folder


_SRF = re.compile(r"image_SRF_(\d+)", re.IGNORECASE)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def list_images(folder: Path, *, required: bool = True) -> list[Path]:
    """The image files directly in ``folder``, without hidden files (macOS leaves ``._baby.png``)."""
    images = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    )
    if required and not images:
        raise ImageError(f"no image in {folder}: expected files that end in {', '.join(EXTENSIONS)}")
    return images


def _refuse_strays(folder: Path, expected: str) -> None:
    for path in list_images(folder, required=False):
        raise ImageError(f"{path}: a misplaced image; {expected}: move or delete it")


def _lr_folder(hr_folder: Path, scale: int) -> Path | None:
    """The folder of the LR images: beside ``HR`` or ``…_HR``, inside any other HR folder; ``None`` if there is none."""
    if re.fullmatch(r"(.*_)?HR", hr_folder.name, re.IGNORECASE):
        lr_folder = subfolder(hr_folder.parent, hr_folder.name[: -len("HR")] + "LR_bicubic")
    else:
        lr_folder = subfolder(hr_folder, "LR_bicubic")
    if lr_folder is None:
        return None
    _refuse_strays(lr_folder, f"expected LR images in folders such as {lr_folder.name}/X{scale}")
    return subfolder(lr_folder, f"X{scale}")


def _pair_by_stem(hr: Sequence[Path], lr_folder: Path, scale: int) -> list[Pair]:
    unpaired = _by_stem(list_images(lr_folder))
    pairs = []
    for stem, path in _by_stem(hr).items():
        names = [f"{stem}{ending}" for ending in ("", f"x{scale}", f"_x{scale}", f"_lrbi_x{scale}")]
        matches = [unpaired.pop(name) for name in names if name in unpaired]
        if not matches:
            raise ImageError(
                f"{path}: its LR image is missing in {lr_folder}; expected {path.stem}x{scale}.png or {path.stem}.png"
            )
        if len(matches) > 1:
            raise ImageError(f"{matches[1]}: a second LR image of {path.name}, besides {matches[0].name}; keep one")
        pairs.append(Pair(path.stem, path, matches[0]))
    for path in unpaired.values():
        raise ImageError(f"{path}: an LR image without an HR image in {hr[0].parent}")
    return pairs


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    for path in paths:
        other = stems.setdefault(path.stem.lower(), path)
        if other != path:
            raise ImageError(f"{path}: a second image of this name, besides {other.name}: keep one, or rename it")
    return stems


def _pair_srf(folder: Path, scale: int) -> list[Pair]:
    files: dict[str, dict[str, Path]] = {"HR": {}, "LR": {}}
    for path in list_images(folder):
        match = re.fullmatch(rf"(.+?)(_SRF_{scale})?_([^_]+)", path.stem, re.IGNORECASE)
        kind = match[3].upper() if match else ""
        if match and kind in files:
            if match[1] in files[kind]:
                raise ImageError(
                    f"{path}: a second {kind} image of {match[1]}, besides {files[kind][match[1]].name}; keep one"
                )
            files[kind][match[1]] = path
        elif not (match and match[2]):
            # The published folders also hold the results of other methods, such as img_001_SRF_2_SRCNN.png: these are
            # skipped.
            raise ImageError(
                f"{path}: a misplaced image; expected names such as img_001_SRF_{scale}_HR.png and …_LR.png"
            )
    for kind, other in (("HR", "LR"), ("LR", "HR")):
        for name in files[kind].keys() - files[other].keys():
            raise ImageError(f"{files[kind][name]}: its {other} image is missing in {folder}")
    if not files["HR"]:
        raise ImageError(f"no image in {folder}: expected names such as img_001_SRF_{scale}_HR.png and …_LR.png")
    return [Pair(name, hr, files["LR"][name]) for name, hr in sorted(files["HR"].items())]
