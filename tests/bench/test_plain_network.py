"""The plain network that the bench times the package against is the same network."""

import pytest
import torch
from plain_network import PlainNetwork, build
from reference_network import ReferenceNetwork

from asid.bench.setting import find_plain, load_plain
from asid.config import preset
from asid.evaluation.verify import formula_weights, published_shapes
from asid.model.build import build_network
from asid.model.checkpoint import from_published
from asid.model.complexity import count_parameters


def test_it_equals_the_package_and_the_reference() -> None:
    weights = {name: 2 * tensor.double() for name, tensor in formula_weights(published_shapes("asid", 2), 0.3).items()}
    network = build_network(preset("asid")).double()
    network.load_state_dict(from_published(weights)[1])
    x = torch.rand(2, 3, 19, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        plain = PlainNetwork(tensors=dict(weights))
        output = plain(x)
        assert set(plain.tensors) == set(weights)
        expected = torch.cat([ReferenceNetwork(weights)(image[None]) for image in x])
        assert expected.std() > 0.1
        for other in (expected, network(x)):
            assert (output - other).abs().max() <= 1e-9 * expected.abs().max()


@pytest.mark.parametrize("name", ["asid-tiny", "asid-laptop", "asid"])
def test_it_has_as_many_parameters(name: str) -> None:
    config = preset(name, scale=3)
    plain = load_plain(find_plain())(config)  # type: ignore[arg-type]
    assert sum(tensor.numel() for tensor in plain.parameters()) == count_parameters(build_network(config))
    assert plain(torch.zeros(2, 3, 9, 17)).shape == (2, 3, 27, 51)


def test_it_refuses_variants() -> None:
    with pytest.raises(ValueError, match="esa"):
        build(preset("asid", esa=False))
