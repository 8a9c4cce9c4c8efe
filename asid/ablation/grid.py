"""A study file and the runs it stands for. A variant is a delta over the study's base."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from asid.config import Config, RunConfig, build_run, describe_errors

Delta = dict[str, dict[str, Any]]
"""Changes by section (``model``, ``data``, ``train``, ``evaluate``) of a :class:`RunConfig`."""


class StudyError(ValueError):
    """A study file that cannot be read or does not make sense."""


class StudyConfig(Config):
    """An ablation study, as written in ``ablations/*.yaml``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Name of the study and of its folder under results/."""
    question: str
    """What the study asks, in one sentence."""
    preset: str = "asid"
    """Preset of the base network."""
    base: Delta = Field(default_factory=dict)
    """Changes over the preset and the defaults that all variants share, by section: model, data, train, evaluate."""
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")], Delta]
    """Named variants, each a change over the base by section. An empty change is the base itself."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    """Seeds that each variant is run with."""
    references: tuple[Literal["bicubic"], ...] = ("bicubic",)
    """Rows for comparison that need no training."""
    notebook: str = "../notebooks/train_variant.ipynb"
    """Notebook that executes one run, relative to the study file."""

    @field_validator("variants", mode="before")
    @classmethod
    def _allow_empty(cls, variants: Any) -> Any:
        """``base:`` with nothing behind it is a variant without changes."""
        return {name: delta or {} for name, delta in variants.items()} if isinstance(variants, dict) else variants

    @field_validator("variants")
    @classmethod
    def _check_variants(cls, variants: dict[str, Delta]) -> dict[str, Delta]:
        bases = [name for name, delta in variants.items() if not any(delta.values())]
        if len(bases) != 1:
            raise ValueError(f"expected exactly one variant without changes, the base, got {len(bases)}: {', '.join(bases) or 'none'}")
        if "bicubic" in variants:
            raise ValueError("'bicubic' is a reference, not a variant: choose another name")
        return variants

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"expected different seeds, got {list(seeds)}")
        return seeds

    @model_validator(mode="after")
    def _check_runs(self) -> Self:
        problems = []
        seen: dict[str, str] = {}
        try:
            base = self.config(self.base_name, self.seeds[0])
        except ValueError as error:
            raise ValueError("; ".join(f"base: {line}" for line in _messages(error))) from None
        comparable = (base.evaluate, base.model.scale)  # a table never mixes two protocols, tilings, sets or scales
        for variant in self.variants:
            try:
                configs = [self.config(variant, seed) for seed in self.seeds]
            except ValueError as error:
                problems += [f"variant {variant}: {line}" for line in _messages(error)]
                continue
            if (configs[0].evaluate, configs[0].model.scale) != comparable:
                problems.append(f"variant {variant} is evaluated otherwise than the base: set 'evaluate' and model.scale in base, for all")
            twin = seen.setdefault(configs[0].digest(), variant)
            if twin != variant:
                problems.append(f"variant {variant} is the same network, data and training as {twin}: its change changes nothing")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def base_name(self) -> str:
        """Name of the variant without changes."""
        return next(name for name, delta in self.variants.items() if not any(delta.values()))

    def config(self, variant: str, seed: int) -> RunConfig:
        """The full configuration of one run."""
        return build_run(self.preset, merge(self.base, self.variants[variant]), seed)


def merge(base: Delta, delta: Delta) -> Delta:
    """``delta`` over ``base``, section by section."""
    return {section: {**base.get(section, {}), **delta.get(section, {})} for section in {**base, **delta}}


def describe_delta(delta: Delta) -> str:
    """A change in words, e.g. ``attention_sharing: none``; several joined by commas."""
    words = []
    for fields in delta.values():
        for name, value in fields.items():
            shown = " + ".join(map(str, value)) or "none" if isinstance(value, list) else value
            words.append(f"{name.replace('_', ' ')}: {shown}")
    return ", ".join(words)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that is written twice, of which YAML would keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is written twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_study(path: str | Path) -> StudyConfig:
    """Read and check a study file.

    Raises :class:`StudyError` with every problem in it, or ``pydantic.ValidationError`` from the fields.
    """
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(map(str, path.parent.glob("*.yaml")))) or "none"
        raise StudyError(f"no study file at {path}; in its folder: {known}")
    try:
        content = yaml.load(path.read_text(), _UniqueKeyLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise StudyError(f"{path}: expected a mapping with the keys {', '.join(StudyConfig.model_fields)}, got {type(content).__name__}")
    return StudyConfig.model_validate(content)


def _messages(error: ValueError) -> list[str]:
    return describe_errors(error) if isinstance(error, ValidationError) else [str(error)]
