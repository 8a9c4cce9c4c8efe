"""The components of ASID as switches: for each, the change that takes it out of a network. No torch in here."""

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any, Literal

from asid.config import ModelConfig, Window

Component = Literal[
    "sharing",
    "distillation",
    "meso",
    "global",
    "channel-attention",
    "local-module",
    "squeeze-excitation",
    "esa",
    "position-bias",
]
Changes = dict[str, Any]
"""Fields of :class:`ModelConfig` with their new values."""


def _without_window(kind: Window) -> Callable[[ModelConfig], Changes]:
    def change(model: ModelConfig) -> Changes:
        fields: dict[str, tuple[Window, ...]] = {
            "spatial_windows": model.spatial_windows,
            "channel_windows": model.channel_windows,
        }
        return {
            name: [window for window in windows if window != kind]
            for name, windows in fields.items()
            if kind in windows
        }

    return change


_TAKE_OUT: dict[Component, Callable[[ModelConfig], Changes]] = {
    "sharing": lambda model: {"attention_sharing": "none"},
    "distillation": lambda model: {"distillation_ratio": "0"},
    "meso": _without_window("meso"),
    "global": _without_window("global"),
    "channel-attention": lambda model: {"channel_windows": []},
    "local-module": lambda model: {"local_module": False},
    "squeeze-excitation": lambda model: {"squeeze_excitation": False},
    "esa": lambda model: {"esa": False},
    "position-bias": lambda model: {"position_bias": False},
}


def take_out(model: ModelConfig, components: Iterable[Component]) -> Changes:
    """The changes over ``model`` that take ``components`` out of it.

    Without *meso* or *global* the layers with those windows go, in spatial and in channel attention; a study that wants as many
    layers of one kind names the windows itself (``spatial_windows: [meso, meso]``). Raises ``ValueError`` for a component that
    ``model`` does not have: taking it out would change nothing. The order does not matter.
    """
    changes: Changes = {}
    for component in components:
        if model.override(**_TAKE_OUT[component](model)) == model:
            raise ValueError(
                f"component {component} is not in the network that it is to be taken out of: leave it out of the list"
            )
        changes |= _TAKE_OUT[component](model.override(**changes))
    return changes


def leave_one_out(model: ModelConfig, components: Iterable[Component]) -> dict[str, Changes]:
    """For each component the network without it: ``no-<component>``."""
    return {f"no-{component}": take_out(model, [component]) for component in components}


def pairwise(model: ModelConfig, components: Iterable[Component]) -> dict[str, Changes]:
    """For each pair of components the network without both: ``no-<first>_no-<second>``."""
    return {
        f"no-{first}_no-{second}": take_out(model, [first, second]) for first, second in combinations(components, 2)
    }


def add_one_in(model: ModelConfig, components: Iterable[Component]) -> dict[str, Changes]:
    """The network without any of the components, ``bare``, and for each component that network with it: ``only-<component>``."""
    listed = list(components)
    cells = {"bare": take_out(model, listed)}
    return cells | {f"only-{kept}": take_out(model, [item for item in listed if item != kept]) for kept in listed}
