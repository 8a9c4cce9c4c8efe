"""A panel that is touched: the photograph takes clicks and drags, and maps are drawn in the browser."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets
from matplotlib.colors import Colormap, Normalize
from numpy.typing import NDArray
from PIL import Image

from asid.data.images import RGBImage
from asid.panels.panel import FIGURES, Drawing, Panel, drawing, to_png
from asid.plots.lr_image import LRBox

Card = dict[str, Any]
"""One image with its map, title, colour bar and small maps; :func:`card` makes it."""


class TouchView(anywidget.AnyWidget):
    """Cards side by side, drawn by ``touch.js``. It needs no network, and one message for each move of the pointer."""

    _esm = Path(__file__).with_name("touch.js")
    _css = Path(__file__).with_name("touch.css")

    cards: Any = traitlets.List().tag(sync=True)
    """See :func:`card`."""
    photo = traitlets.Bytes().tag(sync=True)
    """The image below the maps, PNG."""
    size = traitlets.List([1, 1]).tag(sync=True)
    """Height and width of the image in pixels."""
    pixel = traitlets.List([0, 0]).tag(sync=True)
    """Row and column that were touched last."""
    live = traitlets.Bool(True).tag(sync=True)
    """Whether each pixel of a drag counts, or only the last one."""
    help = traitlets.Unicode().tag(sync=True)
    """What a screen reader says about the cards."""


def card(
    title: str,
    size: Sequence[int],
    *,
    ground: str = "pale",
    part: Sequence[float] | None = None,
    shown: Mapping[str, Any] | None = None,
    bar: Mapping[str, Any] | None = None,
    query: Sequence[int] | None = None,
    boxes: Sequence[LRBox] = (),
    dots: tuple[Sequence[int], Sequence[int]] = ((), ()),
    touch: bool = False,
    note: str = "",
    unit: str = "",
    axes: tuple[str, str] = ("row", "column"),
    multiples: Sequence[Mapping[str, Any]] = (),
) -> Card:
    """Describe a card.

    Args:
        title: Lines above the image.
        size: Height and width of the image, in LR pixels as all that follows.
        ground: What is below the map: ``photo``, ``pale`` or ``none``.
        part: (top, left, bottom, right) of what is shown, by default the whole image.
        shown: A map, see :func:`cells`.
        bar: Its colour bar, see :func:`colour_bar`.
        query: Row and column of a cross.
        boxes: Outlines.
        dots: Rows and columns of a grid of dots.
        touch: Whether the pointer sets the pixel here.
        note: The line below the image while the pointer is elsewhere.
        unit: What follows a value under the pointer.
        axes: What the rows and columns of the map are called.
        multiples: Tables of small maps, see :func:`small_maps`.
    """
    return {
        "title": title,
        "part": [float(side) for side in part or (0, 0, *size)],
        "ground": ground,
        "map": shown,
        "bar": bar,
        "query": query and [int(at) for at in query],
        "boxes": [[float(side) for side in box] for box in boxes],
        "dots": {name: [int(at) for at in places] for name, places in zip(("rows", "columns"), dots, strict=True)},
        "touch": touch,
        "note": note,
        "unit": unit,
        "axes": list(axes),
        "multiples": list(multiples),
    }


def cells(
    values: NDArray[np.floating],
    norm: Normalize,
    colours: Colormap,
    *,
    rows: NDArray[np.integer] | None = None,
    columns: NDArray[np.integer] | None = None,
    side: float = 1.0,
    alpha: NDArray[np.floating] | None = None,
) -> dict[str, Any]:
    """Describe a map by its cells.

    Args:
        values: (r, c); NaN is grey.
        norm: Colour scale.
        colours: Its colours.
        rows: Row of the image for each row of cells, by default from 0.
        columns: Column of the image for each column of cells.
        side: Side of a cell, with its middle in that of the pixel.
        alpha: Opacity, (r, c).
    """
    known = ~np.isnan(values)
    rgba = np.array(colours(norm(np.where(known, values, 0.0 if norm.vmin is None else norm.vmin)), bytes=True))
    if alpha is not None:
        rgba[..., 3] = np.round(255 * np.clip(alpha, 0, 1))
    rgba[~known] = (153, 153, 153, 255)
    return {
        "rows": [int(row) for row in (range(len(values)) if rows is None else rows)],
        "columns": [int(column) for column in (range(values.shape[1]) if columns is None else columns)],
        "side": float(side),
        "colours": rgba.tobytes(),
        "values": values.astype(np.float32).tobytes(),
    }


def colour_bar(norm: Normalize, colours: Colormap, label: str) -> dict[str, Any]:
    """Describe a colour bar, from the lower to the upper end of a scale."""
    return {
        "low": f"{norm.vmin:.3g}",
        "high": f"{norm.vmax:.3g}",
        "label": label,
        "colours": np.array(colours(np.linspace(0, 1, 128), bytes=True)).tobytes(),
    }


def small_maps(name: str, columns: int, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Describe a table of small maps with a number of columns.

    Each item has ``map`` (:func:`cells`), ``part`` (see :func:`card`), ``label``, ``chosen`` (whether it is the large
    one) and ``key``: the values of the controls that make it the large one.
    """
    return {"name": name, "columns": columns, "items": [dict(item) for item in items]}


class TouchPanel(Panel):
    """A panel with cards in place of its picture. The picture is for those without a kernel, and for *Save*.

    The controls ``row`` and ``column`` are set by a click or drag on a card, or by the arrow keys with Shift; the
    controls of a small map by a click on it. The other keys call :meth:`step` and :meth:`next`.

    Args:
        name: See :class:`asid.panels.panel.Panel`, as for the others.
        draw: The picture; it is called when it is needed.
        cards: Called with the values of the controls, like ``draw``; returns the image and the cards.
        controls: With ``row`` and ``column``.
        folder: Where *Save* writes.
        help: What a screen reader says about the cards.
    """

    working = ""

    def __init__(
        self,
        name: str,
        draw: Callable[..., Drawing],
        cards: Callable[..., tuple[RGBImage, list[Card]]],
        controls: Mapping[str, widgets.ValueWidget],
        folder: str | Path = FIGURES,
        help: str = "",
    ) -> None:
        self._cards = cards
        self._photo: RGBImage | None = None
        self.view = TouchView(help=help)
        self.view.add_class("asid-dims")
        super().__init__(name, draw, controls, folder)
        self.box.children = [self.view if child is self.framed else child for child in self.box.children]
        self.view.observe(lambda change: self.set(row=change["new"][0], column=change["new"][1]), names="pixel")
        self.view.on_msg(lambda _, content, buffers: self._receive(content))

    @property
    def drawing(self) -> Drawing | None:
        """The picture of the current settings and its arrays, drawn when it is asked for."""
        if self._drawing is None and self._is_shown:
            with drawing():
                self._drawing = self.draw(**self.values)
        return self._drawing

    def set(self, **values: Any) -> None:
        """Change several controls, and show the cards once."""
        self._preparing = True
        try:
            before = self.values
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._preparing = False
        if self.values != before:
            self.update()

    def step(self, down: int, right: int) -> None:
        """Handle an arrow key: a subclass chooses another map."""

    def next(self, way: int) -> None:
        """Handle the keys n (1) and p (-1): a subclass chooses the next or previous map."""

    def png(self) -> bytes:
        """The picture; an empty one if the current settings could not be drawn."""
        if self.drawing is None:
            return bytes(self.picture.value)
        with drawing():
            return to_png(self.drawing[0])

    def _receive(self, content: Mapping[str, Any]) -> None:
        match content:
            case {"choose": key}:
                self.set(**key)
            case {"step": [down, right]}:
                self.step(int(down), int(right))
            case {"next": way}:
                self.next(int(way))

    def _show(self) -> None:
        image, cards = self._cards(**self.values)
        if image is not self._photo:
            self._photo = image
            self.view.size = list(image.shape[:2])
            self.view.photo = _png_of(image)
        self.view.cards = cards
        self.view.pixel = [self.controls["row"].value, self.controls["column"].value]


def _png_of(image: RGBImage) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    return buffer.getvalue()
