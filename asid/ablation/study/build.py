"""A study from choices instead of a file: which values of which axes, over a base, with how many seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from asid.ablation.study.expand import variant_name
from asid.ablation.study.study import StudyConfig
from asid.ablation.study.until import fill_seeds
from asid.ablation.study.variants import describe_delta, format_value
from asid.config import AXES, ModelConfig, build_run, describe_errors


def axis_values(base: StudyConfig) -> dict[str, dict[str, tuple[Any, str]]]:
    """The values of each axis that a study over this base could compare.

    Returns:
        For each axis its values by their text, the base's first: the JSON value, and why it cannot be chosen; empty if
        it can.

    Raises:
        ValueError: The base is not a valid network.
    """
    model = base_network(base)
    own = model.to_dict()
    found: dict[str, dict[str, tuple[Any, str]]] = {}
    for name, axis in AXES.items():
        values = [list(value) if isinstance(value, tuple) else value for value in axis.values]
        values = [own[name], *(value for value in values if value != own[name])]
        found[name] = {format_value(value): (value, _obstacle(model, name, value)) for value in values}
    return found


def base_network(study: StudyConfig) -> ModelConfig:
    """The network without changes.

    Raises:
        ValueError: It is not valid, or not an ASID network.
    """
    model = build_run(study.preset, study.base).model
    if not isinstance(model, ModelConfig):
        raise ValueError(f"expected an ASID network as the base, got {model.network}")
    return model


def build_study(
    base: StudyConfig,
    changes: Mapping[str, Sequence[Any]],
    *,
    name: str,
    question: str = "",
    seeds: int,
    steps: int | None = None,
    crossed: bool = False,
) -> StudyConfig:
    """A study with the base, the references and the margin of another one.

    Args:
        base: The other study.
        changes: For each axis the values to compare with the base's, as JSON values.
        name: Name of the study.
        question: What it asks; by default, what the changes do.
        seeds: Number of seeds, from 0.
        steps: Steps of a training; ``None``: those of the base.
        crossed: Run all combinations of the values, instead of one change at a time.

    Raises:
        pydantic.ValidationError: A field is wrong.
    """
    changes = {axis: list(values) for axis, values in changes.items() if values}
    generated: dict[str, Any]
    content = base.to_dict()
    kept = {key: content[key] for key in ("preset", "base", "references", "margin", "notebook")}
    if steps is not None:
        kept["base"] = {**kept["base"], "train": {**kept["base"].get("train", {}), "steps": steps}}
    if crossed:
        own = base_network(base).to_dict()
        generated = {"factors": {axis: [own[axis], *values] for axis, values in changes.items()}}
    else:
        alone = [(axis, value) for axis, values in changes.items() for value in values]
        variants = {variant_name([(axis, value)]): {"model": {axis: value}} for axis, value in alone}
        generated = {"variants": {"base": {}, **variants}}
    return StudyConfig.model_validate(
        {
            "name": name,
            "question": question or _ask(changes, crossed),
            **kept,
            **generated,
            "seeds": fill_seeds([], seeds),
        }
    )


def to_yaml(study: StudyConfig) -> str:
    """A study as the text of a study file, without what is the default anyway."""
    content = study.model_dump(mode="json", exclude_defaults=True)
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None))


def _ask(changes: Mapping[str, Sequence[Any]], crossed: bool) -> str:
    """The question of a study that makes these changes."""
    axes = [axis.replace("_", " ") for axis in changes]
    if crossed and len(axes) > 1:
        return f"Does the effect of {axes[0]} depend on {_enumerate(axes[1:])}?"
    single = [describe_delta({"": {axis: value}}) for axis, values in changes.items() for value in values]
    return f"What difference {'does' if len(single) == 1 else 'do'} {_enumerate(single)} make?"


def _enumerate(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) or "no change"


def _obstacle(model: ModelConfig, axis: str, value: Any) -> str:
    """Why a network cannot have a value instead of its own; empty if it can."""
    if axis == "scale" and value != model.scale:
        return "one table compares networks of one scale"
    try:
        model.override(**{axis: value})
    except ValidationError as error:
        return "; ".join(line.removeprefix("ModelConfig: ") for line in describe_errors(error))
    return ""
