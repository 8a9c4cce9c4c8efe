"""The components of ASID as switches: for each, the change that takes it out of a network. No torch in here.

Components come from the metadata of :class:`~asid.config.ModelConfig`'s fields, see :class:`~asid.config.Axis`.
"""

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from asid.config import AXES, ModelConfig

Changes = dict[str, Any]
"""Changed fields of :class:`ModelConfig`, as JSON values."""

_NAMES = [name for axis in AXES.values() for name in (*axis.items, axis.component) if name]
COMPONENTS: tuple[str, ...] = tuple(dict.fromkeys(_NAMES))
"""Names of all components, in the order of the fields."""
if TYPE_CHECKING:
    Component = str
else:  # pydantic then knows the names: for error messages, and for the schema of study files
    Component = Literal[COMPONENTS]


def take_out(model: ModelConfig, components: Iterable[Component]) -> Changes:
    """The changes that take ``components`` out of ``model``; their order does not matter.

    Taking out *meso* or *global* removes the layers with these windows from spatial and channel attention. A study that
    wants to keep the number of layers names the windows itself (``spatial_windows: [meso, meso]``).

    Raises:
        ValueError: ``model`` does not have a component, so that taking it out would change nothing.
    """
    changes: Changes = {}
    for component in components:
        if not _without(model, component):
            raise ValueError(f"component {component} is not in the network: leave it out of the list")
        changes |= _without(model.override(**changes), component)
    return changes


def leave_one_out(model: ModelConfig, components: Iterable[Component]) -> dict[str, Changes]:
    """The network without each component: ``no-<component>``."""
    return {f"no-{component}": take_out(model, [component]) for component in components}


def pairwise(model: ModelConfig, components: Iterable[Component]) -> dict[str, Changes]:
    """The network without each pair of components: ``no-<first>_no-<second>``."""
    return {
        f"no-{first}_no-{second}": take_out(model, [first, second]) for first, second in combinations(components, 2)
    }


def add_one_in(model: ModelConfig, components: Iterable[Component]) -> dict[str, Changes]:
    """The network without all components, ``bare``, and that network with each one of them: ``only-<component>``."""
    every = list(components)
    only = {f"only-{one}": take_out(model, [other for other in every if other != one]) for one in every}
    return {"bare": take_out(model, every), **only}


def _without(model: ModelConfig, component: Component) -> Changes:
    """The fields in which ``model`` differs from itself without ``component``; empty if it does not have it."""
    before, changes = model.to_dict(), Changes()
    for name, axis in AXES.items():
        if axis.component == component:
            changes[name] = list(axis.off) if isinstance(axis.off, tuple) else axis.off
        elif component in axis.items:
            changes[name] = [item for item in before[name] if item != component]
    return {name: value for name, value in changes.items() if value != before[name]}
