"""Windows: how a feature map is partitioned into tokens for attention, and merged again.

Each side of the (B, C, H, W) map is split into two factors: there are y × x windows of m × n tokens. The kinds of
window differ in which factor varies slowly, and in which one is the fixed size M::

    LocalWindow     b (y m) (x n) c -> (b y x) (m n) c    m = n = M    M×M neighbouring pixels
    GridWindow      b (m y) (n x) c -> (b y x) (m n) c    m = n = M    M×M pixels spread over the whole image
    StridedWindow   b (m y) (n x) c -> (b y x) (m n) c    y = x = M    all pixels at a distance of M

T = m · n is the number of tokens in a window, and n, in shapes such as (n, T, C), the number of windows in the whole
batch.
"""

from dataclasses import dataclass
from typing import ClassVar

from einops import rearrange
from torch import Tensor

from asid.config import ModelConfig, Window


@dataclass(frozen=True)
class AttentionWindow:
    """A partition of the map into windows of tokens; H and W must be multiples of ``size``."""

    MAP: ClassVar[str]
    """A map in the order of its memory, ``channels_last``, so that the backward pass stays in that format, too."""
    TOKENS: ClassVar[str] = "(b y x) (m n) c"

    size: int
    """M, the side of a window; for :class:`StridedWindow` the distance of its pixels."""

    def factors(self, height: int, width: int) -> dict[str, int]:
        """The factors of both sides of the map: y × x windows of m × n tokens."""
        return {"m": self.size, "n": self.size, "y": height // self.size, "x": width // self.size}

    def split(self, x: Tensor) -> Tensor:
        """Partition a map (B, C, H, W) into tokens (n, T, C)."""
        return rearrange(x.permute(0, 2, 3, 1), f"{self.MAP} -> {self.TOKENS}", **self.factors(*x.shape[-2:]))

    def merge(self, tokens: Tensor, like: Tensor) -> Tensor:
        """Undo :meth:`split`: tokens (n, T, C) to a map (B, C, H, W) with B, H and W those of ``like``."""
        pixels = rearrange(tokens, f"{self.TOKENS} -> {self.MAP}", **self.factors(*like.shape[-2:]))
        return pixels.permute(0, 3, 1, 2)  # a view


class LocalWindow(AttentionWindow):
    """M×M neighbouring pixels."""

    MAP = "b (y m) (x n) c"


class GridWindow(AttentionWindow):
    """A grid of M×M pixels spread over the whole image.

    Its pixels are H/M rows and W/M columns apart, so their distance grows with the image: the network computes
    something different on a tile than on the whole image.
    """

    MAP = "b (m y) (n x) c"


class StridedWindow(GridWindow):
    """All pixels at a distance of M: the pattern of :class:`GridWindow` with y = x = M fixed instead of m = n = M.

    This is the global window of channel attention: M² windows of H/M · W/M pixels. That number grows with the image,
    which does not matter there because channel attention maps are C×C. On an image of M² × M² pixels it equals
    :class:`GridWindow`.
    """

    def factors(self, height: int, width: int) -> dict[str, int]:
        """The factors of both sides of the map: y × x windows of m × n tokens."""
        return {"m": height // self.size, "n": width // self.size, "y": self.size, "x": self.size}


def spatial_window(config: ModelConfig, kind: Window) -> AttentionWindow:
    """The window of a spatial attention layer of this kind."""
    return _window(config, kind, GridWindow)


def channel_window(config: ModelConfig, kind: Window) -> AttentionWindow:
    """The window of a channel attention layer of this kind."""
    return _window(config, kind, StridedWindow)


def _window(config: ModelConfig, kind: Window, grid: type[AttentionWindow]) -> AttentionWindow:
    if kind == "meso":
        return LocalWindow(config.window_size)
    return grid(config.global_size) if config.global_kind == "grid" else LocalWindow(config.global_size)
