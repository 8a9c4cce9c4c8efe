"""Super-resolving a photograph, or a part of a large one, with a divider to drag between bicubic and the network."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from asid.config import InferenceConfig
from asid.data.crops import most_detailed_box
from asid.data.images import ImageError, RGBImage, image_size, read_image, write_image
from asid.data.photographs import Photograph
from asid.data.resize import bicubic_upscale, crop_to_multiple, downscale
from asid.data.sources import find_images
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import score
from asid.evaluation.progress import OnTile, count_tiles, fit_tiles, watched
from asid.model.base import Network
from asid.panels.divider import before_after, to_url
from asid.panels.long_work import LongWork, describe_time
from asid.panels.networks import NetworkPicker, network_name, open_model
from asid.panels.panel import FIGURES, RESULTS, Drawing, Panel, file_name
from asid.plots import study as plots
from asid.plots import style

MOST_AT_ONCE = 300_000
"""LR pixels that are restored while one waits: a few seconds on a CPU. More are restored on request, beside it."""
_DETAIL = 256
"""Side of the detail of a large photograph that is shown first, in LR pixels."""
_ENLARGED = 96
"""Side of the region that is shown enlarged, in SR pixels."""

RESTORE, ENLARGE = "shrink, then restore and score", "enlarge as it is"
"""The role of the photograph: the reference for a reduced copy of itself, or the LR image."""


@dataclass(frozen=True)
class Restored:
    """An LR image at the size of the SR image, by bicubic and by a network."""

    lr: RGBImage
    bicubic: RGBImage
    sr: RGBImage
    reference: RGBImage | None
    """The original, if the LR image was made from it."""
    notes: dict[str, str]
    """Scores of ``bicubic`` and ``sr`` against the reference, as text."""
    seconds: float
    """Time in the network, per LR pixel."""
    config: InferenceConfig
    """Whether it went through the network in tiles."""

    def cut(self, box: tuple[int, int, int, int], name: str) -> dict[str, RGBImage]:
        """The region ``box`` (top, left, height, width in SR pixels) of each image, by its title."""
        top, left, height, width = box
        scale = len(self.sr) // len(self.lr)
        lr = self.lr[top // scale : -(-(top + height) // scale), left // scale : -(-(left + width) // scale)]
        large = lr.repeat(scale, 0).repeat(scale, 1)[top % scale :, left % scale :]
        images = {"LR": large, "bicubic": self.bicubic[top:, left:], name: self.sr[top:, left:]}
        if self.reference is not None:
            images["original"] = self.reference[top:, left:]
        return {title: image[:height, :width] for title, image in images.items()}


def restore(network: Network, image: RGBImage, task: str, on_tile: OnTile | None = None) -> Restored:
    """Super-resolve an image, or the reduced copy of it, whole if it is small and in tiles if it is large.

    Args:
        network: The network.
        image: uint8 (H, W, 3).
        task: :data:`RESTORE` or :data:`ENLARGE`.
        on_tile: See :data:`asid.evaluation.progress.OnTile`.
    """
    scale = network.config.scale
    reference = crop_to_multiple(image, scale) if task == RESTORE else None
    lr = image if reference is None else downscale(reference, scale)
    height, width = lr.shape[:2]
    config = fit_tiles(InferenceConfig(), height, width)
    began = time.perf_counter()
    with watched(network, count_tiles(config, height, width), on_tile or (lambda done, total: None)):
        sr = upscale(network, lr, config)
    seconds = (time.perf_counter() - began) / (height * width)
    bicubic = bicubic_upscale(lr, scale)
    notes = {}
    if reference is not None:
        scores = {name: score(made, reference, crop=scale) for name, made in (("bicubic", bicubic), ("sr", sr))}
        notes = {name: "{:.2f} dB, SSIM {:.4f}".format(*of) for name, of in scores.items()}
    return Restored(lr, bicubic, sr, reference, notes, seconds, config)


class QuickStart(Panel):
    """Compare a network with bicubic on a sample or an uploaded photograph, by eye and by score.

    The most detailed part is shown enlarged. Below it, the image has a divider that moves on the page, without the
    kernel. Of a large photograph a detail is shown first; the whole of it is restored on request, in a thread, with
    an estimate of the time and a *Cancel* button.

    Args:
        models: What :func:`asid.model.pretrained.load_model` accepts; the first one is shown first. Other packaged
            weights and finished runs can be picked too.
        source: What :func:`asid.data.sources.find_images` accepts.
        folder: Where *Save* writes.
        results: Where finished runs are looked for.
    """

    def __init__(
        self,
        models: Sequence[str],
        source: str = "samples",
        *,
        folder: str | Path = FIGURES,
        results: str | Path = RESULTS,
    ) -> None:
        self.photographs = {photograph.name: photograph for photograph in find_images(source)}
        self._uploads = TemporaryDirectory(prefix="asid-")
        self.upload = widgets.FileUpload(accept="image/*", description="your own")
        self.slider = widgets.HTML()
        self.slider.add_class("asid-dims")
        self.work = LongWork()
        self.restored: Restored | None = None
        self._whole: tuple[tuple[str, ...], Restored] | None = None
        """The whole of a large photograph, and for which controls it was restored."""
        self._shown: tuple[str, ...] = ()
        self._part = 0
        self._made: tuple[Any, ...] = ()
        """For which controls :attr:`restored` was made."""
        self._seconds: dict[str, float] = {}
        percent = {"min": 0, "max": 100, "continuous_update": False, "layout": {"width": "300px"}}
        controls = {
            "photograph": widgets.Dropdown(options=list(self.photographs), description="photograph"),
            "upload": self.upload,
            "model": NetworkPicker(models, results),
            "task": widgets.Dropdown(options=[RESTORE, ENLARGE], description="task", layout={"width": "320px"}),
            "part": widgets.Dropdown(
                options=[("whole photograph", 0), *((f"detail of {side} LR pixels", side) for side in (128, 256, 512))],
                description="part",
            ),
            "across": widgets.IntSlider(description="across (%)", **percent),
            "down": widgets.IntSlider(description="down (%)", **percent),
        }
        super().__init__("quickstart", self._compare, controls, folder)
        save = widgets.Button(description="Save SR image", icon="image", tooltip="Write the SR image as PNG")
        save.on_click(lambda _: self._guard(self.save_sr))
        self.box.children = (*self.box.children, self.work.box, self.slider, save)

    @property
    def stem(self) -> str:
        """Photograph, network, task and part."""
        values = {name: self.values[name] for name in ("photograph", "task")}
        where = {name: self.values[name] for name in ("part", "across", "down")} if self.values["part"] else {}
        return file_name(self.name, {**values, "model": network_name(self.values["model"]), **where})

    def prepare(self) -> None:
        """Select an uploaded photograph; show a detail of a large one first; begin with the whole of it on request."""
        self._take_upload()
        size, detail = self._lr_size(), self.controls["part"]
        key = tuple(str(self.values[name]) for name in ("photograph", "model", "task"))
        wants_whole = detail.value == 0 and size[0] * size[1] > MOST_AT_ONCE
        if key != self._shown:
            self.work.cancel()
            if key[:1] != self._shown[:1]:
                detail.value = 0
                wants_whole = size[0] * size[1] > MOST_AT_ONCE
                self._go_to_detail(_DETAIL)
            if wants_whole:
                detail.value = _DETAIL
        elif wants_whole and not (self._whole and self._whole[0] == key):
            detail.value = self._part
            self._begin_with_whole(key, size)
        self._shown, self._part = key, detail.value
        for name in ("across", "down"):
            self.controls[name].disabled = detail.value == 0

    def save_sr(self) -> None:
        """Write the SR image as PNG, and show a link by which the browser downloads it."""
        if self.drawing is None or self.restored is None:
            raise ValueError("the current settings could not be drawn, so there is no SR image of them: change them")
        path = self.folder / f"{self.stem}.png".replace("quickstart-", "sr-", 1)
        write_image(path, self.restored.sr)
        link = f'<a href="{to_url(path.read_bytes())}" download="{path.name}">download {path.name}</a>'
        self.message.value = f"Saved in {path.parent.resolve()}: {link}"

    def _take_upload(self) -> None:
        if not self.upload.value:
            return
        upload, self.upload.value = self.upload.value[0], ()
        name = Path(upload["name"]).stem
        taken = sum(other == name or other.startswith(f"{name} (") for other in self.photographs)
        path = Path(self._uploads.name) / (f"{name} ({taken + 1}).png" if taken else f"{name}.png")
        write_image(path, _read_upload(upload["name"], bytes(upload["content"])))
        photograph = Photograph(path)
        self.photographs[photograph.name] = photograph
        self.controls["photograph"].options = list(self.photographs)
        self.controls["photograph"].value = photograph.name

    def _lr_size(self) -> tuple[int, int]:
        """Height and width of the whole LR image."""
        scale = open_model(self.values["model"]).config.scale
        shrink = scale if self.values["task"] == RESTORE else 1
        height, width = image_size(self.photographs[self.values["photograph"]].path)
        return height // shrink, width // shrink

    def _read(self) -> RGBImage:
        return read_image(self.photographs[self.values["photograph"]].path)

    def _go_to_detail(self, side: int) -> None:
        """Move the sliders to where the photograph has most detail."""
        image = self._read()
        coarse = max(1, max(image.shape) // 512)
        thumb = image[::coarse, ::coarse]
        top, left, height, width = most_detailed_box(thumb, max(1, side // coarse))
        for name, start, room in (("down", top, len(thumb) - height), ("across", left, thumb.shape[1] - width)):
            self.controls[name].value = round(100 * start / room) if room else 0

    def _begin_with_whole(self, key: tuple[str, ...], size: tuple[int, int]) -> None:
        network, image, task = open_model(self.values["model"]), self._read(), self.values["task"]

        def show(restored: Restored) -> None:
            self._whole = (key, restored)
            self.controls["part"].value = 0

        self.work.start(
            f"whole photograph, {self._estimate(size)}", lambda on_part: restore(network, image, task, on_part), show
        )

    def _estimate(self, size: tuple[int, int]) -> str:
        """How large the LR image is, and how long it takes here, from the time of what was shown last."""
        height, width = size
        seconds = self._seconds.get(self.values["model"], float("nan")) * _pixels_in_tiles(height, width)
        return f"{width} × {height} LR pixels, about {describe_time(seconds)} here"

    def _compare(
        self, photograph: str, upload: Any, model: str, task: str, part: int, across: int, down: int
    ) -> Drawing:
        network, size = open_model(model), self._lr_size()
        if part == 0 and self._whole and self._whole[0] == (photograph, model, task):
            self.restored = self._whole[1]
        elif self.restored is None or self._made != (photograph, model, task, part, across, down):
            scale = network.config.scale if task == RESTORE else 1
            self.restored = restore(network, _detail(self._read(), part * scale, across, down), task)
            self._seconds[model] = self.restored.seconds
        self._made = (photograph, model, task, part, across, down)
        shown, name = self.restored, network_name(model)
        box = most_detailed_box(shown.bicubic, _ENLARGED)
        images = shown.cut(box, name)
        notes = {"bicubic": shown.notes.get("bicubic", ""), name: shown.notes.get("sr", "")}
        figure = style.new_figure(2.3 * len(images), 2.95)
        plots.plot_crops(images, figure, (0, 0, *box[2:]), notes)
        what = "{1} × {0} LR pixels".format(*shown.lr.shape)
        tiles = f", in tiles of {shown.config.tile}" if shown.config.tile else ""
        protocol = "; PSNR and SSIM of Y over all of it" if shown.notes else ""
        whole = "" if part == 0 else f", a detail of {size[1]} × {size[0]}"
        figure.supxlabel(f"{photograph}, {what}{whole}, ×{network.config.scale}{tiles}{protocol}", fontsize=8)
        self.slider.value = before_after(shown.bicubic, shown.sr, ("bicubic", name), (notes["bicubic"], notes[name]))
        if part and size[0] * size[1] > MOST_AT_ONCE:
            self.message.value = (
                f"This is a detail. The whole photograph: {self._estimate(size)}; choose it under part."
            )
        return figure, images


def _pixels_in_tiles(height: int, width: int) -> int:
    """Pixels that go through the network for an LR image of this size, with those that tiles share."""
    config = fit_tiles(InferenceConfig(), height, width)
    side = config.tile or max(height, width)
    return count_tiles(config, height, width) * min(side, height) * min(side, width)


def _detail(image: RGBImage, side: int, across: int, down: int) -> RGBImage:
    """A square of an image, where ``across`` and ``down`` say, in percent of the room it has; all of it for side 0."""
    if side == 0:
        return image
    height, width = (min(side, length) for length in image.shape[:2])
    top, left = round((image.shape[0] - height) * down / 100), round((image.shape[1] - width) * across / 100)
    return image[top : top + height, left : left + width]


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
