"""From a study as written to all its variants: combinations, components, exclude rules and matched controls."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from asid.ablation.study.components import add_one_in, leave_one_out, pairwise
from asid.ablation.study.references import REFERENCES, plain_cnn_run
from asid.ablation.study.study import StudyConfig, StudyError, read_study_file
from asid.ablation.study.variants import Delta, Dropped, Variant, describe_delta, format_value, merge
from asid.config import (
    PRESETS,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    build_run,
    describe_errors,
)

SECTIONS: dict[str, type[Config]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "evaluate": EvalConfig,
}


@dataclass(frozen=True)
class Study:
    """A study with all its variants, checked: every variant and seed is a valid, different run."""

    config: StudyConfig
    """The study as written, with its profile applied."""
    variants: dict[str, Variant]
    """Every variant by name: base, named and generated ones, and after each variant its matched control."""
    dropped: list[Dropped]
    """Generated variants that an exclude rule removed."""

    @property
    def base_name(self) -> str:
        """Name of the variant without changes."""
        return self.config.base_name

    @property
    def run_names(self) -> list[str]:
        """What is run with every seed: the variants, and the references that are trained."""
        return [*self.variants, *self.config.trained_references]

    @property
    def run_count(self) -> int:
        """Number of runs: variants and trained references, times seeds."""
        return len(self.run_names) * len(self.config.seeds)

    def run_config(self, name: str, seed: int | None = None) -> RunConfig:
        """The full configuration of one run of :attr:`run_names`, by default with the study's first seed."""
        if name in self.config.trained_references:
            return plain_cnn_run(self.run_config(self.base_name, seed))
        return _run_config(self.config, self.variants[name], seed)

    def change(self, name: str) -> str:
        """What distinguishes one of :attr:`run_names` from the base, as text; empty for the base itself."""
        return describe_delta(self.variants[name].delta) if name in self.variants else REFERENCES[name]

    def override(self, **changes: Any) -> "Study":
        """The study with some fields of its configuration changed, expanded and checked again."""
        return expand(self.config.override(**changes))


def load_study(path: str | Path, profile: str | None = None) -> Study:
    """Read a study file, apply a profile (by default its first), and expand it.

    Raises:
        StudyError: The file cannot be read, or its variants do not make sense; all problems at once.
        pydantic.ValidationError: A field is wrong; all problems at once.
    """
    return expand(read_study_file(path, profile))


def expand(config: StudyConfig) -> Study:
    """All variants of a study.

    Raises:
        StudyError: A variant is not a valid run, changes nothing, repeats another one, or is not evaluated like the
            base.
    """
    try:
        base = build_run(config.preset, config.base, config.seeds[0])
        _network(base)
    except ValueError as error:
        raise StudyError(*(f"base: {line}" for line in _messages(error))) from None
    try:
        variants, dropped = _collect(config, _generate(config, base))
        if config.match is not None:
            variants = _add_controls(config, variants)
    except StudyError:
        raise
    except ValueError as error:
        raise StudyError(*_messages(error)) from None
    study = Study(config, variants, dropped)
    if problems := list(_find_problems(study, base)):
        raise StudyError(*problems)
    return study


def _run_config(config: StudyConfig, variant: Variant, seed: int | None = None) -> RunConfig:
    sections = merge(config.base, variant.delta)
    if variant.name in config.steps_of:
        sections = merge(sections, {"train": {"steps": config.steps_of[variant.name]}})
    return build_run(config.preset, sections, config.seeds[0] if seed is None else seed)


# Generating variants


def _generate(config: StudyConfig, base: RunConfig) -> Iterator[Variant]:
    """The variants of all generators, in the order of the fields of :class:`StudyConfig`."""
    model = _network(base)
    for values in product(*config.factors.values()) if config.factors else ():
        fields = dict(zip(config.factors, values, strict=True))
        levels = {name.rpartition(".")[2]: format_value(value) for name, value in fields.items()}
        yield replace(_from_fields(config, base, fields), levels=levels)
    for values in zip(*config.zip.values(), strict=True):
        yield _from_fields(config, base, dict(zip(config.zip, values, strict=True)))
    changes = leave_one_out(model, config.leave_one_out).items()
    yield from (Variant(name, {"model": fields}) for name, fields in changes)
    if config.add_one_in:
        changes = add_one_in(model, config.add_one_in).items()
        yield from (Variant(name, {"model": fields}) for name, fields in changes)
    changes = pairwise(model, config.pairwise).items()
    yield from (Variant(name, {"model": fields}) for name, fields in changes)


def _from_fields(config: StudyConfig, base: RunConfig, fields: dict[str, Any]) -> Variant:
    """The variant with these values; its name lists those that differ from the base's."""
    delta: Delta = {}
    changes = []
    for name, value in fields.items():
        section, key = _split_field(name)
        if _parse(section, key, value) != getattr(getattr(base, section), key):
            delta.setdefault(section, {})[key] = value
            changes.append((key, value))
    return Variant(variant_name(changes) or config.base_name, delta)


def variant_name(changes: Iterable[tuple[str, Any]]) -> str:
    """The name of a variant with these values, e.g. ``attention-sharing-none_esa-off``; empty without any."""
    return "_".join(f"{key.replace('_', '-')}-{_slug(value)}" for key, value in changes)


def _collect(config: StudyConfig, generated: Iterator[Variant]) -> tuple[dict[str, Variant], list[Dropped]]:
    """The base, the named variants, and the generated ones that no rule excludes."""
    base_name = config.base_name
    variants = {} if base_name in config.variants else {base_name: Variant(base_name, {})}
    variants |= {name: Variant(name, delta) for name, delta in config.variants.items()}
    dropped: list[Dropped] = []
    used: set[int] = set()
    for variant in generated:
        if variant.name == base_name:  # the base always runs; as a combination of factors it has levels, too
            variants[base_name] = variant if variant.levels else variants[base_name]
            continue
        rules = [index for index, rule in enumerate(config.exclude) if _matches(config, variant, rule)]
        if rules:
            used.update(rules)
            dropped.append(Dropped(variant.name, describe_delta({"": config.exclude[rules[0]]})))
        elif variant.name not in variants:
            variants[variant.name] = variant
        else:
            raise StudyError(
                f"two variants are called {variant.name}: remove one of them, or choose another name for a named one"
            )
    if idle := [describe_delta({"": rule}) for index, rule in enumerate(config.exclude) if index not in used]:
        raise StudyError(
            f"exclude: no generated variant besides the base has {' or '.join(idle)}: correct the rule or delete it"
        )
    return variants, dropped


def _matches(config: StudyConfig, variant: Variant, rule: dict[str, Any]) -> bool:
    """Whether a variant, which need not be a valid run, has all the values of a rule."""
    preset: Delta = {"model": PRESETS.get(config.preset, {})}
    sections = merge(merge(preset, config.base), variant.delta)
    for name, value in rule.items():
        section, key = _split_field(name)
        mine = sections.get(section, {}).get(key, getattr(SECTIONS[section](), key))
        if _parse(section, key, mine) != _parse(section, key, value):
            return False
    return True


def _add_controls(config: StudyConfig, variants: dict[str, Variant]) -> dict[str, Variant]:
    from asid.ablation.study.matching import add_controls  # builds networks

    models: dict[str, ModelConfig] = {}
    for name, variant in variants.items():
        with suppress(ValueError):  # an invalid variant is reported when all are checked
            models[name] = _network(_run_config(config, variant))
    assert config.match is not None
    return add_controls(variants, models, config.base_name, config.match)


# Checking variants


def _find_problems(study: Study, base: RunConfig) -> Iterator[str]:
    config = study.config
    comparable = (base.evaluate, base.model.scale)  # one table never mixes protocols, tilings, sets or scales
    seen: dict[str, str] = {}
    for name, variant in study.variants.items():
        try:
            run, *_ = [study.run_config(name, seed) for seed in config.seeds]
            _network(run)
        except ValueError as error:
            hint = "; correct it, or drop it with an exclude rule" if name not in config.variants else ""
            yield from (f"variant {name}: {line}{hint}" for line in _messages(error))
            continue
        if (run.evaluate, run.model.scale) != comparable:
            yield (
                f"variant {name} is evaluated differently from the base: "
                "set 'evaluate' and model.scale in base, for all variants"
            )
        twin = seen.setdefault(run.digest(), name)
        if twin != name:
            change = f"its change ({describe_delta(variant.delta)}) changes nothing"
            remedy = change if twin == study.base_name else "remove one of the two"
            yield f"variant {name} is the same network, data and training as {twin}: {remedy}"
    yield from (f"steps_of.{name}: no such variant" for name in config.steps_of if name not in study.variants)


def _network(run: RunConfig) -> ModelConfig:
    """The network of a variant. Raises ``ValueError`` if it is not ASID."""
    if not isinstance(run.model, ModelConfig):
        raise ValueError(f"expected an ASID network, got {run.model.network}: it can be listed under 'references'")
    return run.model


def _messages(error: ValueError) -> list[str]:
    return describe_errors(error) if isinstance(error, ValidationError) else [str(error)]


# Fields and their values


def _split_field(name: str) -> tuple[str, str]:
    """``train.steps`` as (train, steps); a name without a section is a field of the network."""
    section, _, key = name.rpartition(".")
    section = section or "model"
    if section not in SECTIONS:
        raise StudyError(
            f"{name}: expected a field of the network, or section.field with a section of {', '.join(SECTIONS)}"
        )
    fields = SECTIONS[section].model_fields
    if key not in fields:
        close = get_close_matches(key, fields, n=1)
        elsewhere = [f"{other}.{key}" for other, kind in SECTIONS.items() if key in kind.model_fields]
        hint = f"did you mean '{(elsewhere or close)[0]}'?" if elsewhere or close else f"known: {', '.join(fields)}"
        raise StudyError(f"{name}: no such field; {hint}")
    return section, key


def _parse(section: str, key: str, value: Any) -> Any:
    """A value as the configuration stores it, so that 0.25 equals 1/4; an invalid value is returned as it is."""
    try:
        return _field_type(section, key).validate_python(value)
    except ValidationError:
        return value


@cache
def _field_type(section: str, key: str) -> TypeAdapter[Any]:
    """The type of a single field, without the checks across fields (such as whether a ratio fits a width)."""
    info = SECTIONS[section].model_fields[key]
    field_type: Any = Annotated[info.annotation, info]
    return TypeAdapter(field_type)


def _slug(value: Any) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", format_value(value).lower()).strip("-")
