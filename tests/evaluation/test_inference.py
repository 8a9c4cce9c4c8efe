"""Applying a network to an image: tiles, blending, self-ensemble, precision, memory."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from asid.config import InferenceConfig, preset
from asid.data.sources import find_images
from asid.evaluation.inference import tile_corners, upscale
from asid.evaluation.progress import watched
from asid.model.base import Network
from asid.model.network import ASID

pytestmark = pytest.mark.process

PHOTO = np.array(find_images("samples")[0].read()[40:120, 60:160])


class Nearest(Network):
    """A network that repeats each pixel: its tiles must add up to the same image for every overlap."""

    def __init__(self, scale: int) -> None:
        super().__init__(preset("asid-tiny", scale=scale), (0.0, 1.0))
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.most_memory = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.most_memory = max(self.most_memory, psutil.Process().memory_info().rss)
        return x.repeat_interleave(self.config.scale, 2).repeat_interleave(self.config.scale, 3)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    tile=st.integers(8, 30),
    share=st.floats(0, 0.9),
    blend=st.sampled_from(["mean", "smooth"]),
    ensemble=st.booleans(),
)
def test_every_pixel_is_written_and_weights_are_normalised(
    height: int, width: int, tile: int, share: float, blend: str, ensemble: bool
) -> None:
    image = np.random.default_rng(height * 71 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    config = InferenceConfig(tile=tile, overlap=int(share * tile), blend=blend, ensemble=ensemble)
    sr = upscale(Nearest(2), image, config, batch_tiles=3)
    expected = image.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(sr, expected)
    whole = config.override(tile=None, overlap=min(height, width))
    assert np.array_equal(upscale(Nearest(2), image, whole), expected)


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"), [(64, 64, 64, 24), (65, 200, 64, 24), (10, 300, 64, 24), (100, 90, 40, 0)]
)
def test_tiles_cover_the_image_with_the_overlap(height: int, width: int, tile: int, overlap: int) -> None:
    corners = list(tile_corners(height, width, tile, overlap))
    assert len(set(corners)) == len(corners)
    for length, starts in ((height, sorted({y for y, _ in corners})), (width, sorted({x for _, x in corners}))):
        assert starts[0] == 0
        assert starts[-1] == max(0, length - tile)
        assert all(later - earlier <= tile - overlap for earlier, later in pairwise(starts))


def test_tiles_of_a_meso_network_agree_with_the_whole_away_from_their_borders() -> None:
    # Without the parts that see the whole image: no global window, no ESA, no squeeze-and-excitation.
    config = preset(
        "asid-tiny",
        spatial_windows=["meso"],
        channel_windows=["meso"],
        esa=False,
        squeeze_excitation=False,
        num_groups=1,
    )
    model = ASID(config).double().eval()
    x = torch.rand(1, 3, 96, 128, dtype=torch.float64)
    with torch.no_grad():
        whole, tile = model(x), model(x[..., 16:80, 32:96])
    # Windows are aligned, because 16 and 32 are multiples of their size; only the 3×3 convolutions reach beyond them.
    crop = whole[..., 32:160, 64:192] - tile
    difference = crop[..., 48:-48, 48:-48].abs()
    assert difference.numel()
    assert difference.max() < 1e-5
    assert crop.abs().max() > 1e-5


def test_a_global_network_depends_on_the_tiling() -> None:
    model = ASID(preset("asid-tiny"), seed=3)
    with torch.no_grad():
        model.upsample.weight.mul_(20)
    assert not np.array_equal(upscale(model, PHOTO), upscale(model, PHOTO, InferenceConfig(tile=32, overlap=8)))


def test_batches_of_tiles_change_nothing() -> None:
    model = ASID(preset("asid-tiny"))
    config = InferenceConfig(tile=32, overlap=8)
    assert np.array_equal(upscale(model, PHOTO, config), upscale(model, PHOTO, config, batch_tiles=5))


def test_self_ensemble_is_the_mean_of_eight_views() -> None:
    model = ASID(preset("asid-tiny", num_groups=1), seed=1).double()
    with torch.no_grad():
        model.upsample.weight.mul_(20)
        model.upsample.bias.add_(0.5)
    photo, views = PHOTO[:40, :56], []
    for flip in (False, True):
        for turns in range(4):
            image = np.rot90(photo[:, ::-1] if flip else photo, turns)
            with torch.no_grad():
                y = model(torch.tensor(image.copy()).permute(2, 0, 1)[None].double() / 255)[0].permute(1, 2, 0).numpy()
            y = np.rot90(y, -turns)
            views.append(y[:, ::-1] if flip else y)
    expected = np.rint(np.clip(np.mean(views, axis=0), 0, 1) * 255)
    sr = upscale(model, photo, InferenceConfig(ensemble=True))
    assert np.abs(sr - expected).max() <= 1
    assert not np.array_equal(sr, upscale(model, photo))
    assert np.array_equal(upscale(model, photo[:, ::-1].copy(), InferenceConfig(ensemble=True))[:, ::-1], sr)


def test_each_precision_is_used() -> None:
    model = ASID(preset("asid-tiny"), seed=1)
    with torch.no_grad():
        model.upsample.weight.mul_(20)
        model.upsample.bias.add_(0.5)
    precisions = ("32-true", "16-mixed", "bf16-mixed")
    exact, half, rough = (upscale(model, PHOTO, InferenceConfig(precision=p)).astype(int) for p in precisions)
    assert 0 < np.abs(exact - half).mean() < np.abs(exact - rough).mean()
    assert np.abs(exact - rough).max() < 30


def test_output_that_is_not_finite_is_refused() -> None:
    """It would be a black image."""
    model = ASID(preset("asid-tiny", num_groups=1))
    with torch.no_grad():
        model.deep.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        upscale(model, PHOTO)


def test_memory_for_tiles_does_not_grow_with_the_height_of_an_image() -> None:
    image = np.zeros((4000, 700, 3), dtype=np.uint8)
    model, before = Nearest(2), psutil.Process().memory_info().rss
    sr = upscale(model, image, InferenceConfig(tile=256))
    assert model.most_memory - before < sr.nbytes + 150e6  # one float copy of the SR image has 134 MB; there were four


@pytest.mark.parametrize(
    ("free", "tile", "changes", "words"),
    [
        (20e6, None, {}, "the whole image .* use tiles"),
        (20e6, 32, {}, None),
        (2e6, 32, {}, "tiles of 32 .* use smaller tiles"),
        (100e6, 32, {"window_size": 32, "global_size": 5}, "tiles of 32 "),  # padded to 160×160
    ],
)
def test_what_does_not_fit_into_memory_is_refused(
    free: float, tile: int | None, changes: dict[str, int], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": free})())
    model = ASID(preset("asid-tiny", **changes))
    with pytest.raises(ValueError, match=words) if words else nullcontext():
        upscale(model, PHOTO, InferenceConfig(tile=tile, overlap=8))


def test_overlap_is_smaller_than_the_tile() -> None:
    with pytest.raises(ValidationError, match="overlap smaller than the tile of 16, got 16"):
        InferenceConfig(tile=16, overlap=16)


def test_tiles_of_another_thread_are_not_counted() -> None:
    network, seen = Nearest(2), list[int]()
    with watched(network, 1, lambda done, total: seen.append(done)), ThreadPoolExecutor(1) as other:
        other.submit(upscale, network, PHOTO).result()
        assert seen == []
        upscale(network, PHOTO)
    assert seen == [1]
