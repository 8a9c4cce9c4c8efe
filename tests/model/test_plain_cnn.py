"""The plain CNN: sizes, initial weights, and that it learns more than bicubic in a few steps."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from asid.config import PlainCNNConfig
from asid.model.build import build_network
from asid.model.checkpoint import load_checkpoint, save_checkpoint
from asid.model.plain_cnn import PlainCNN


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (5, 9)])
def test_it_enlarges_images_of_any_size(scale: int, size: tuple[int, int]) -> None:
    model = PlainCNN(PlainCNNConfig(scale=scale, num_features=4))
    assert model(torch.rand(2, 3, *size)).shape == (2, 3, *(scale * side for side in size))


def test_it_adds_detail_to_bicubic() -> None:
    model = PlainCNN(PlainCNNConfig(num_features=4))
    lr = torch.rand(1, 3, 6, 7)
    bicubic = F.interpolate(lr, scale_factor=2, mode="bicubic")
    assert not torch.allclose(model(lr), bicubic, atol=1e-3)
    torch.nn.init.zeros_(model.tail.weight)
    torch.nn.init.zeros_(model.tail.bias)  # type: ignore[arg-type]
    assert torch.equal(model(lr), bicubic)


def test_a_batch_that_is_not_rgb_is_refused() -> None:
    with pytest.raises(ValueError, match="RGB batch"):
        PlainCNN(PlainCNNConfig(num_features=4))(torch.rand(1, 1, 5, 5))


def test_the_seed_decides_the_weights_of_each_layer_by_its_path() -> None:
    state = torch.get_rng_state()
    one, same, other = (PlainCNN(PlainCNNConfig(num_features=4), seed=seed).state_dict() for seed in (1, 1, 2))
    deeper = PlainCNN(PlainCNNConfig(num_features=4, num_blocks=5), seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) and torch.equal(one[name], deeper[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_saved_weights_load_as_what_they_are(tmp_path: Path) -> None:
    config = PlainCNNConfig(scale=3, num_features=4, num_blocks=1)
    model = build_network(config, seed=1, value_range=(-1, 1)).eval()
    loaded = load_checkpoint(save_checkpoint(model, tmp_path / "cnn.safetensors"))
    assert isinstance(loaded, PlainCNN)
    assert (loaded.config, loaded.value_range) == (config, (-1, 1))
    lr = torch.rand(1, 3, 5, 6)
    assert torch.equal(loaded(lr), model(lr))
