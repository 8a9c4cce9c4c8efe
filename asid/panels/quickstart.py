"""Super-resolving one photograph, with a divider to drag between bicubic and the network."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from asid.config import InferenceConfig
from asid.data.crops import most_detailed_box
from asid.data.images import ImageError, RGBImage, read_image, write_image
from asid.data.photographs import Photograph
from asid.data.resize import bicubic_upscale, crop_to_multiple, downscale
from asid.data.sources import find_images
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import score
from asid.model.pretrained import load_model
from asid.panels.panel import FIGURES, Drawing, Panel
from asid.plots import study as plots
from asid.plots import style

_WHOLE = 512
"""Longest side of an LR image, in pixels, that goes through the network whole; larger ones are tiled with this size."""
_WIDEST = 1600
"""Longest side of the images on the page, in pixels."""

RESTORE, ENLARGE = "shrink, then restore and score", "enlarge as it is"
"""The role of the photograph: the reference for a reduced copy of itself, or the LR image."""


class QuickStart(Panel):
    """Compare the network with bicubic on a sample or an uploaded photograph, by eye and by score.

    The most detailed part is shown enlarged. Below it, the whole image has a divider that moves on the page, without
    the kernel.

    Args:
        models: What :func:`asid.model.pretrained.load_model` accepts; the first one is shown first.
        source: What :func:`asid.data.sources.find_images` accepts.
        folder: Where *Save* writes.
    """

    def __init__(self, models: Sequence[str], source: str = "samples", *, folder: str | Path = FIGURES) -> None:
        self.photographs = {photograph.name: photograph for photograph in find_images(source)}
        self._uploads = TemporaryDirectory(prefix="asid-")
        self.upload = widgets.FileUpload(accept="image/*", description="your own")
        self.slider = widgets.HTML()
        self.slider.add_class("asid-before-after")
        names = list(self.photographs)
        controls = {
            "photograph": widgets.Dropdown(options=names, description="photograph"),
            "upload": self.upload,
            "model": widgets.Dropdown(options=list(models), description="network"),
            "task": widgets.Dropdown(options=[RESTORE, ENLARGE], description="task", layout={"width": "320px"}),
        }
        super().__init__("quickstart", self._compare, controls, folder)
        self.box.children = (*self.box.children, self.slider)

    def prepare(self) -> None:
        """Add an uploaded photograph to the list, and select it."""
        if not self.upload.value:
            return
        upload, self.upload.value = self.upload.value[0], ()
        name = Path(upload["name"]).stem
        taken = sum(other == name or other.startswith(f"{name} (") for other in self.photographs)
        path = (
            Path(self._uploads.name) / f"{name} ({taken + 1}).png"
            if taken
            else Path(self._uploads.name) / f"{name}.png"
        )
        write_image(path, _read_upload(upload["name"], bytes(upload["content"])))
        photograph = Photograph(path)
        self.photographs[photograph.name] = photograph
        self.controls["photograph"].options = list(self.photographs)
        self.controls["photograph"].value = photograph.name

    def _compare(self, photograph: str, upload: Any, model: str, task: str) -> Drawing:
        network = load_model(model)
        scale = network.config.scale
        image = read_image(self.photographs[photograph].path)
        reference = crop_to_multiple(image, scale) if task == RESTORE else None
        lr = image if reference is None else downscale(reference, scale)
        tiled = max(lr.shape) > _WHOLE
        config = InferenceConfig(tile=_WHOLE, overlap=24) if tiled else InferenceConfig()
        images = {
            "LR": lr.repeat(scale, 0).repeat(scale, 1),
            "bicubic": bicubic_upscale(lr, scale),
            model: upscale(network, lr, config),
        }
        notes: dict[str, str] = {}
        if reference is not None:
            for name in ("bicubic", model):
                notes[name] = "{:.2f} dB, SSIM {:.4f}".format(*score(images[name], reference, crop=scale))
            images["original"] = reference
        figure = style.new_figure(2.3 * len(images), 2.95)
        plots.plot_crops(images, figure, most_detailed_box(images["bicubic"], 96), notes)
        size = "{1} × {0}".format(*lr.shape)
        protocol = "; PSNR and SSIM of Y over the whole image" if notes else ""
        tiles = f", in tiles of {_WHOLE}" if tiled else ""
        figure.supxlabel(f"{photograph}, {size} LR pixels, ×{scale}{tiles}{protocol}", fontsize=8)
        self.slider.value = before_after(images["bicubic"], images[model], ("bicubic", model))
        return figure, images


def _read_upload(name: str, content: bytes) -> RGBImage:
    """An uploaded photograph as uint8 (H, W, 3), upright, transparency on white. Data sets are read more strictly."""
    try:
        with Pillow.open(io.BytesIO(content)) as file:
            upright = ImageOps.exif_transpose(file)
            if upright.mode in ("1", "L", "RGB", "P", "LA", "PA", "RGBA"):
                photograph = upright.convert("RGBA")
                return np.asarray(
                    Pillow.alpha_composite(Pillow.new("RGBA", photograph.size, "white"), photograph).convert("RGB")
                )
    except (UnidentifiedImageError, Pillow.DecompressionBombError, OSError, SyntaxError):
        raise ImageError(f"{name} is not a readable image: choose a PNG, JPEG or WebP file") from None
    raise ImageError(f"{name}: expected grey or RGB with 8 bits per channel, got the mode {upright.mode}: convert it")


def before_after(before: RGBImage, after: RGBImage, labels: tuple[str, str]) -> str:
    """Build HTML that shows ``before`` left of a divider and ``after`` right of it. It moves without a kernel.

    Args:
        before: uint8 (H, W, 3).
        after: uint8 (H, W, 3).
        labels: Names of the two images.

    Raises:
        ValueError: The images have different sizes.
    """
    if before.shape != after.shape:
        raise ValueError(f"expected two images of the same size, got {before.shape} and {after.shape}")
    first, second = map(html.escape, labels)
    badge = "position:absolute;top:8px;padding:2px 8px;border-radius:3px;background:rgba(0,0,0,.6);color:#fff"
    badge += ";font:12px sans-serif;line-height:1.4"
    divider = "position:absolute;top:0;bottom:0;left:var(--x);width:2px;margin-left:-1px"
    return f"""<div style="--x:50%;position:relative;width:{after.shape[1]}px;max-width:100%;line-height:0">
<img alt="{second}" src="{_to_url(after)}" style="display:block;width:100%">
<img alt="{first}" src="{_to_url(before)}"
 style="position:absolute;left:0;top:0;width:100%;clip-path:inset(0 calc(100% - var(--x)) 0 0)">
<div style="{divider};background:#fff;box-shadow:0 0 3px #000"></div>
<span style="{badge};left:8px">{first}</span><span style="{badge};right:8px">{second}</span>
<input type="range" min="0" max="100" step="0.5" value="50" aria-label="divider between {first} and {second}"
 oninput="this.parentNode.style.setProperty('--x', this.value + '%')"
 style="position:absolute;left:0;top:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize"></div>"""


def _to_url(image: RGBImage) -> str:
    buffer = io.BytesIO()
    photograph = Pillow.fromarray(image)
    photograph.thumbnail((_WIDEST, _WIDEST))  # never enlarges
    photograph.save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
