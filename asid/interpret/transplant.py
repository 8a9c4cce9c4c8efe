"""Transplants: what a network loses in dB if a group uses the attention maps of another group.

Attention sharing supposes that the maps of the groups are alike enough to be exchanged (paper, section 3). That maps
look alike does not show it: any two nearly uniform maps do. Here they are exchanged, in a network that computes its own
maps in each group, and the loss is set beside that of *nulls*: maps that cannot know what the group's own map knows.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asid.interpret.attention_maps import with_attention
from asid.interpret.crops import Crops, psnr_by_image
from asid.interpret.similarity import row_similarity
from asid.model.base import Network, module_seed
from asid.model.interventions import Place, attention_modules, replaced_maps, uniform_map
from asid.model.network import ASID
from asid.model.observe import evaluation_mode

Maps = Mapping[Place, Tensor]
"""The map (n, T, T) of each place; n windows of all N images, image by image."""
NULLS = ("uniform", "another image", "shuffled rows", "untrained network")
"""Maps that replace a group's own: equal weights; the own map of the next image; the own map with the rows of each
window permuted, so that each pixel looks where another one should; the map of the same place in a network with initial
weights."""


@dataclass(frozen=True)
class Transplants:
    """Losses are PSNR with its own maps minus PSNR with others, in dB, for each of the N images.

    G groups, S distillation steps, L layers of a step.
    """

    images: tuple[str, ...]
    """Names of the N images."""
    psnr: NDArray[np.float64]
    """PSNR of the untouched network, (N,)."""
    loss: NDArray[np.float64]
    """``loss[k, j, i, l]``: group k uses the map of group j, in step i and layer l only; (G, G, S, L, N)."""
    loss_together: NDArray[np.float64]
    """``loss_together[j]``: all groups use the maps of group j, in all places; (G, N). With j = 0 this is what
    attention sharing does, without having been trained for it."""
    similarity: NDArray[np.float64]
    """Correlation of the same two maps as in ``loss``; (G, G, S, L, N)."""
    null_loss: dict[str, NDArray[np.float64]]
    """For each of :data:`NULLS` the loss if group k uses it, in one place only; (G, S, L, N)."""
    null_loss_together: dict[str, NDArray[np.float64]]
    """The same in all places at once; (N,)."""
    null_similarity: dict[str, NDArray[np.float64]]
    """Correlation of each null with the group's own map; (G, S, L, N)."""

    def arrays(self) -> dict[str, NDArray]:
        """All of it by name, to be saved."""
        nulls = {
            f"{kind}.{name}": values
            for kind, by_name in (
                ("null_loss", self.null_loss),
                ("null_loss_together", self.null_loss_together),
                ("null_similarity", self.null_similarity),
            )
            for name, values in by_name.items()
        }
        own = {name: getattr(self, name) for name in ("psnr", "loss", "loss_together", "similarity")}
        return {"images": np.array(self.images), **own, **nulls}


def transplant(
    model: Network, crops: Crops, *, seed: int = 0, on_pass: Callable[[int, int], None] | None = None
) -> Transplants:
    """Exchange the spatial attention maps of the groups, one place at a time and all at once.

    The maps are those of the untouched network for the same image. A group that reuses a map is left with its own if
    only that of an earlier group is exchanged.

    Args:
        model: The network: best one without attention sharing. With it, all exchanges between groups lose nothing.
        crops: At least two images: one gets the maps of another.
        seed: Seed of the permuted rows and of the untrained network.
        on_pass: Called after each pass with the number of passes done and in total.

    Raises:
        ValueError: ``model`` is not an ASID network with spatial attention, or there is only one image.
    """
    model = with_attention(model)
    modules = attention_modules(model)
    if not modules:
        raise ValueError("this network has no spatial attention: its spatial_windows are empty")
    if len(crops.names) < 2:
        raise ValueError("expected at least two images, since one gets the maps of another; got one")
    own = own_maps(model, crops)
    nulls = null_maps(model, crops, own, seed)
    psnr = psnr_by_image(model, crops)
    config, count = model.config, len(crops.names)
    groups, steps, layers = config.num_groups, config.distillation_steps, len(config.spatial_windows)
    total = groups * (groups + len(NULLS)) * steps * layers + groups + len(NULLS)
    done = 0

    def lost(maps: Maps) -> NDArray[np.float64]:
        nonlocal done
        with using(model, maps):
            loss = psnr - psnr_by_image(model, crops)
        done += 1
        if on_pass:
            on_pass(done, total)
        return loss

    def only(place: Place, attention_map: Tensor) -> Maps:
        """Groups that reuse what this place makes keep the map that they had."""
        group, step, layer = place
        reusing = {
            (later, step, layer): own[later, step, layer]
            for later in range(group + 1, groups)
            if not config.makes_maps(later)
        }
        return {**reusing, place: attention_map}

    loss, similarity = (np.zeros((groups, groups, steps, layers, count)) for _ in range(2))
    null_loss, null_similarity = ({name: np.zeros((groups, steps, layers, count)) for name in NULLS} for _ in range(2))
    for place in product(range(groups), range(steps), range(layers)):
        group, step, layer = place
        for donor in range(groups):
            given = own[donor, step, layer]
            loss[group, donor, step, layer] = lost(only(place, given))
            similarity[group, donor, step, layer] = correlation(own[place], given, count)
        for name, maps in nulls.items():
            null_loss[name][place] = lost(only(place, maps[place]))
            null_similarity[name][place] = correlation(own[place], maps[place], count)
    together = [lost({(g, i, j): own[donor, i, j] for g, i, j in own}) for donor in range(groups)]
    null_together = {name: lost(maps) for name, maps in nulls.items()}
    return Transplants(
        crops.names, psnr, loss, np.stack(together), similarity, null_loss, null_together, null_similarity
    )


def network_input(model: ASID, crops: Crops) -> Tensor:
    """The LR crops as a batch (N, 3, H, W) in the value range of ``model``."""
    low, high = model.value_range
    return torch.from_numpy(crops.lr).permute(0, 3, 1, 2).to(next(model.parameters())) / 255 * (high - low) + low


def own_maps(model: ASID, crops: Crops) -> dict[Place, Tensor]:
    """The maps that ``model`` uses for a batch of images."""
    with evaluation_mode(model), torch.no_grad():
        _, maps = model(network_input(model, crops), return_attention=True)
    return {
        (group, step, layer): attention_map
        for group, block in enumerate(maps.spatial)
        for step, used in enumerate(block)
        for layer, attention_map in enumerate(used)
    }


def null_maps(model: ASID, crops: Crops, own: Maps, seed: int = 0) -> dict[str, dict[Place, Tensor]]:
    """The :data:`NULLS` of each place."""
    untrained = ASID(model.config, seed=seed, value_range=model.value_range).to(next(iter(own.values())))
    count = len(crops.names)
    return {
        "uniform": {place: uniform_map(attention_map) for place, attention_map in own.items()},
        "another image": {
            place: attention_map.roll(len(attention_map) // count, 0) for place, attention_map in own.items()
        },
        "shuffled rows": {
            place: _shuffle_rows(attention_map, module_seed(seed, str(place))) for place, attention_map in own.items()
        },
        "untrained network": own_maps(untrained, crops),
    }


def _shuffle_rows(attention_map: Tensor, seed: int) -> Tensor:
    """Permute the rows within each window, each window in its own way."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(attention_map.shape[:2], generator=generator).argsort(1).to(attention_map.device)
    return attention_map.take_along_dim(order[:, :, None], 1)


def using(model: ASID, maps: Maps) -> AbstractContextManager[None]:
    """Let ``model`` use these maps instead of its own."""
    modules = attention_modules(model)

    def give(given: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda _: given

    return replaced_maps({modules[place]: give(given) for place, given in maps.items()})


def correlation(a: Tensor, b: Tensor, count: int) -> NDArray[np.float64]:
    """Mean correlation of the rows of two maps (n, T, T), for each of ``count`` images: (count,)."""
    one, other = (tensor.double().cpu().numpy() for tensor in (a, b))
    return row_similarity(one, other, "correlation").reshape(count, -1).mean(1)
