"""Windows: the partition, pixel by pixel, and that merging undoes it."""

import pytest
import torch
from torch import Tensor

from asid.config import ModelConfig
from asid.model.windows import GridWindow, LocalWindow, StridedWindow, channel_window, spatial_window

WINDOWS = {"local": LocalWindow, "grid": GridWindow, "strided": StridedWindow}


def slow_windows(kind: str, x: Tensor, m: int) -> Tensor:
    """Tokens of all windows, pixel by pixel: (n, T, C), windows in the order (b, y, x), tokens row by row."""
    height, width = x.shape[-2:]
    rows, columns = height // m, width // m
    windows = []
    for one in x:
        if kind == "local":
            parts = [one[:, m * y : m * y + m, m * u : m * u + m] for y in range(rows) for u in range(columns)]
        elif kind == "grid":
            parts = [one[:, y::rows, u::columns] for y in range(rows) for u in range(columns)]
        else:
            parts = [one[:, y::m, u::m] for y in range(m) for u in range(m)]
        for part in parts:
            windows.append(
                torch.stack([part[:, row, column] for row in range(part.shape[1]) for column in range(part.shape[2])])
            )
    return torch.stack(windows)


@pytest.mark.parametrize("kind", WINDOWS)
@pytest.mark.parametrize(("m", "height", "width"), [(8, 16, 24), (8, 8, 8), (4, 12, 8), (2, 2, 6), (6, 24, 12)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_windows_split_and_merge(
    kind: str, m: int, height: int, width: int, memory_format: torch.memory_format
) -> None:
    window = WINDOWS[kind](m)
    x = (
        torch.arange(2 * 5 * height * width, dtype=torch.float32)
        .reshape(2, 5, height, width)
        .contiguous(memory_format=memory_format)
    )
    tokens = window.split(x)
    assert torch.equal(tokens, slow_windows(kind, x, m))
    assert torch.equal(window.merge(tokens, like=x), x)
    fewer = window.merge(tokens[..., :3], like=x)
    assert torch.equal(fewer, x[:, :3])


def test_windows_that_coincide_and_windows_that_differ() -> None:
    x, one_window, square = (torch.rand(1, 3, *size) for size in ((16, 24), (8, 8), (16, 16)))
    local, grid, strided = (kind(8).split for kind in WINDOWS.values())
    assert len({split(x).shape for split in (local, grid)}) == 1
    assert not torch.equal(local(x), grid(x))
    assert torch.equal(local(one_window), grid(one_window))
    assert strided(x).shape == (64, 6, 3)
    assert torch.equal(GridWindow(4).split(square), StridedWindow(4).split(square))  # an image of M² pixels a side


@pytest.mark.parametrize(
    ("global_kind", "spatial", "channel"),
    [
        ("grid", GridWindow(16), StridedWindow(16)),
        ("window", LocalWindow(16), LocalWindow(16)),
    ],
)
def test_windows_of_the_configuration(global_kind: str, spatial: object, channel: object) -> None:
    config = ModelConfig(global_kind=global_kind, global_size=16)
    assert spatial_window(config, "meso") == channel_window(config, "meso") == LocalWindow(8)
    assert spatial_window(config, "global") == spatial
    assert channel_window(config, "global") == channel


@pytest.mark.parametrize("kind", WINDOWS)
def test_merged_maps_are_channels_last(kind: str) -> None:
    """A map in another memory format would be copied by the next layer."""
    window, x = WINDOWS[kind](8), torch.rand(2, 5, 16, 24).contiguous(memory_format=torch.channels_last)
    assert window.merge(window.split(x), like=x).is_contiguous(memory_format=torch.channels_last)
