"""A cell of a grid: a named change over the base of a study."""

from dataclasses import dataclass, field
from typing import Any

Delta = dict[str, dict[str, Any]]
"""Changes by section (``model``, ``data``, ``train``, ``evaluate``) of a :class:`RunConfig`."""


@dataclass(frozen=True)
class Cell:
    """One variant of a study: what it changes over the base."""

    name: str
    delta: Delta
    levels: dict[str, str] = field(default_factory=dict)
    """For a cell of the product of ``factors``: the value of each, in words."""
    control_of: str | None = None
    """For a matched control: the variant of which it is the same network at the base's size."""


@dataclass(frozen=True)
class Dropped:
    """A variant that an exclude rule took out of a study."""

    variant: str
    rule: str


def merge(base: Delta, delta: Delta) -> Delta:
    """``delta`` over ``base``, section by section."""
    return {section: {**base.get(section, {}), **delta.get(section, {})} for section in {**base, **delta}}


def describe_delta(delta: Delta) -> str:
    """A change in words, e.g. ``attention_sharing: none``; several joined by commas."""
    words = []
    for fields in delta.values():
        for name, value in fields.items():
            words.append(f"{name.replace('_', ' ')}: {in_words(value)}")
    return ", ".join(words)


def in_words(value: Any) -> str:
    """A value as a reader wants it: on and off, windows joined by +."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value)) or "none"
    return str(value)
