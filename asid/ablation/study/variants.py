"""A variant of a study: a named change over the study's base."""

from dataclasses import dataclass, field
from typing import Any

Delta = dict[str, dict[str, Any]]
"""Changes by section (``model``, ``data``, ``train``, ``evaluate``) of a :class:`~asid.config.RunConfig`."""


@dataclass(frozen=True)
class Variant:
    """One variant of a study."""

    name: str
    delta: Delta
    """What it changes over the base."""
    levels: dict[str, str] = field(default_factory=dict)
    """For a combination of ``factors``: the value of each factor, as text."""
    control_of: str | None = None
    """For a matched control: the variant that it repeats at the size of the base."""


@dataclass(frozen=True)
class Dropped:
    """A variant that an exclude rule removed from a study."""

    variant: str
    rule: str


def merge(base: Delta, delta: Delta) -> Delta:
    """``delta`` over ``base``, section by section."""
    return {section: {**base.get(section, {}), **delta.get(section, {})} for section in {**base, **delta}}


def describe_delta(delta: Delta) -> str:
    """A change as text, e.g. ``attention sharing: none``; several changes are separated by commas."""
    return ", ".join(
        f"{name.replace('_', ' ')}: {format_value(value)}"
        for fields in delta.values()
        for name, value in fields.items()
    )


def format_value(value: Any) -> str:
    """A value of a configuration as a reader expects it: on and off, windows joined by ``+``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value)) or "none"
    return str(value)
