"""A study file and the runs it stands for. A variant is a delta over the study's base."""

import re
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, TypeAdapter, ValidationError, WithJsonSchema, field_validator, model_validator

from asid.ablation.study.components import Component, add_one_in, leave_one_out, pairwise
from asid.ablation.study.variants import Cell, Delta, Dropped, describe_delta, in_words, merge
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

_MAPPING = {"type": "object", "additionalProperties": {"type": "object"}}
_DeltaOrNothing = Annotated[Delta, WithJsonSchema({"anyOf": [_MAPPING, {"type": "null"}]})]
"""A change as it may be written in a study file, where nothing behind a name is no change."""


class StudyError(ValueError):
    """A study file that cannot be read or does not make sense."""


VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Seeds = Annotated[tuple[int, ...], Field(min_length=1)]


class StudyConfig(Config):
    """An ablation study: a base, and variants that are each a change over it. What generators make is in :attr:`cells`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Name of the study and of its folder under results/."""
    question: str
    """What the study asks, in one sentence."""
    preset: str = "asid"
    """Preset of the base network."""
    base: Delta = Field(default_factory=dict)
    """Changes over the preset and the defaults that all variants share, by section: model, data, train, evaluate."""
    variants: dict[VariantName, _DeltaOrNothing] = Field(default_factory=dict)
    """Named variants, each a change over the base by section. An empty change names the base, which is there in any case."""
    factors: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Fields with their values, of which all combinations are run: attention_sharing, or train.learning_rate of another section."""
    zip: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Fields with as many values each; the first values make a variant, the second ones another, and so on."""
    leave_one_out: tuple[Component, ...] = ()
    """Components that are each taken out of the base."""
    add_one_in: tuple[Component, ...] = ()
    """Components of which a network without any of them gets each alone."""
    pairwise: tuple[Component, ...] = ()
    """Components that are taken out of the base two at a time."""
    exclude: tuple[Annotated[dict[str, Any], Field(min_length=1)], ...] = ()
    """Rules; a generated variant whose fields have all the values of a rule is dropped, and listed as dropped."""
    match: Literal["params", "macs"] | None = None
    """Add to each variant of another size a control whose width (else groups) brings it to the base's size within 2 %."""
    seeds: Seeds = (0,)
    """Seeds that each variant is run with."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Training time of a run in minutes, instead of train.steps: each variant gets the steps that its measured speed allows."""
    steps_of: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Steps of single variants, over train.steps; with ``minutes``, the runner fills them in."""
    margin: Annotated[float, Field(gt=0)] = 0.05
    """Change of PSNR, in dB, below which two variants count as equivalent."""
    references: tuple[Literal["bicubic"], ...] = ("bicubic",)
    """Rows for comparison that need no training."""
    notebook: str = "../notebooks/03_train_variant.ipynb"
    """Notebook that executes one run, relative to the study file."""
    profile: str | None = None
    """Profile of the study file that this is."""

    @field_validator("variants", mode="before")
    @classmethod
    def _allow_empty(cls, variants: Any) -> Any:
        """``base:`` with nothing behind it is a variant without changes."""
        return {name: delta or {} for name, delta in variants.items()} if isinstance(variants, dict) else variants

    @field_validator("variants")
    @classmethod
    def _check_variants(cls, variants: dict[str, Delta]) -> dict[str, Delta]:
        bases = [name for name, delta in variants.items() if not any(delta.values())]
        if len(bases) > 1:
            raise ValueError(
                f"expected at most one variant without changes, the base, got {len(bases)}: {', '.join(bases)}"
            )
        if "bicubic" in variants:
            raise ValueError("'bicubic' is a reference, not a variant: choose another name")
        if any(variants.get("base", {}).values()):
            raise ValueError(
                "the variant 'base' has changes, but base is the name of the network without any: choose another name"
            )
        return variants

    @field_validator("leave_one_out", "add_one_in", "pairwise")
    @classmethod
    def _check_components(cls, components: tuple[Component, ...]) -> tuple[Component, ...]:
        if len(set(components)) != len(components):
            raise ValueError(f"expected different components, got {', '.join(components)}")
        return components

    @field_validator("zip")
    @classmethod
    def _check_zip(cls, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"expected as many values for each field, got {', '.join(f'{n} for {name}' for name, n in lengths.items())}"
            )
        return columns

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"expected different seeds, got {list(seeds)}")
        return seeds

    @model_validator(mode="after")
    def _check_runs(self) -> Self:
        try:
            base = build_run(self.preset, self.base, self.seeds[0])
        except ValueError as error:
            raise ValueError("; ".join(f"base: {line}" for line in _messages(error))) from None
        # A table never mixes two protocols, tilings, sets or scales.
        comparable = (base.evaluate, base.model.scale)
        problems = []
        seen: dict[str, str] = {}
        for name, cell in self.cells.items():
            try:
                configs = [self.config(name, seed) for seed in self.seeds]
            except ValueError as error:
                hint = "; an exclude rule drops it" if name not in self.variants else ""
                problems += [f"variant {name}: {line}{hint}" for line in _messages(error)]
                continue
            if (configs[0].evaluate, configs[0].model.scale) != comparable:
                problems.append(
                    f"variant {name} is evaluated otherwise than the base: set 'evaluate' and model.scale in base, for all"
                )
            twin = seen.setdefault(configs[0].digest(), name)
            if twin != name:
                change = f"its change ({describe_delta(cell.delta)}) changes nothing"
                what = change if twin == self.base_name else "take one of the two out"
                problems.append(f"variant {name} is the same network, data and training as {twin}: {what}")
        problems += [f"steps_of.{name}: no such variant" for name in self.steps_of if name not in self.cells]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def base_name(self) -> str:
        """Name of the variant without changes."""
        return next((name for name, delta in self.variants.items() if not any(delta.values())), "base")

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Every variant by name: the base, the named ones, those of the generators, and matched controls at the end."""
        cells, _ = self._expanded
        if self.match is None:
            return cells
        from asid.ablation.study.matching import add_controls

        models: dict[str, ModelConfig] = {}
        for name, cell in cells.items():
            with suppress(ValueError):  # what is wrong with a cell is told when all are checked
                models[name] = self.config_of(cell, self.seeds[0]).model
        return add_controls(cells, models, self.base_name, self.match)

    @property
    def dropped(self) -> list[Dropped]:
        """What the exclude rules took out."""
        return self._expanded[1]

    @cached_property
    def _expanded(self) -> tuple[dict[str, Cell], list[Dropped]]:
        model = build_run(self.preset, self.base).model
        generated = [
            *self._crossed(),
            *(Cell(name, {"model": changes}) for name, changes in leave_one_out(model, self.leave_one_out).items()),
            *(
                Cell(name, {"model": changes})
                for name, changes in (add_one_in(model, self.add_one_in) if self.add_one_in else {}).items()
            ),
            *(Cell(name, {"model": changes}) for name, changes in pairwise(model, self.pairwise).items()),
        ]
        cells = {} if self.base_name in self.variants else {self.base_name: Cell(self.base_name, {})}
        cells |= {name: Cell(name, delta) for name, delta in self.variants.items()}
        dropped: list[Dropped] = []
        used: set[int] = set()
        for cell in generated:
            if cell.name == self.base_name:  # there in any case; that it is a cell of the product is kept
                cells[cell.name] = cell if cell.levels else cells[cell.name]
                continue
            rules = [rule for rule in self.exclude if self._matches(cell, rule)]
            if rules:
                used.update(map(id, rules))
                dropped.append(Dropped(cell.name, describe_delta({"": rules[0]})))
            elif cell.name not in cells:
                cells[cell.name] = cell
            else:
                raise ValueError(
                    f"two variants are called {cell.name}: take one of them out, or choose another name for a named one"
                )
        if idle := [describe_delta({"": rule}) for rule in self.exclude if id(rule) not in used]:
            raise ValueError(
                f"exclude: no generated variant besides the base has {' or '.join(idle)}: correct the rule or delete it"
            )
        return cells, dropped

    def _crossed(self) -> Iterator[Cell]:
        """The product of the factors, then the rows of zip. A cell is named by what differs from the base."""
        rows = (
            [(dict(zip(self.factors, values, strict=True)), True) for values in product(*self.factors.values())]
            if self.factors
            else []
        )
        rows += [(dict(zip(self.zip, values, strict=True)), False) for values in zip(*self.zip.values(), strict=True)]
        for fields, crossed in rows:
            levels = {name.rpartition(".")[2]: in_words(value) for name, value in fields.items()} if crossed else {}
            changes = {name: value for name, value in fields.items() if not self._is_base_value(name, value)}
            delta: Delta = {}
            for name, value in changes.items():
                section, _, key = _split_field(name)
                delta.setdefault(section, {})[key] = value
            slug = "_".join(
                f"{name.rpartition('.')[2].replace('_', '-')}-{_slug(value)}" for name, value in changes.items()
            )
            yield Cell(slug or self.base_name, delta, levels)

    def _is_base_value(self, name: str, value: Any) -> bool:
        section, _, key = _split_field(name)
        base = build_run(self.preset, self.base)
        return _normal(section, key, value) == getattr(getattr(base, section), key, None)

    def _matches(self, cell: Cell, rule: dict[str, Any]) -> bool:
        sections = merge(
            {**self.base, "model": {**PRESETS.get(self.preset, {}), **self.base.get("model", {})}}, cell.delta
        )
        for name, value in rule.items():
            section, _, key = _split_field(name)
            default = getattr(SECTIONS[section](), key, None)
            mine = sections.get(section, {}).get(key, default)
            if _normal(section, key, mine) != _normal(section, key, value):
                return False
        return True

    def config(self, variant: str, seed: int) -> RunConfig:
        """The full configuration of one run."""
        return self.config_of(self.cells[variant], seed)

    def config_of(self, cell: Cell, seed: int) -> RunConfig:
        """The full configuration of one run of ``cell``."""
        sections = merge(self.base, cell.delta)
        if cell.name in self.steps_of:
            sections = merge(sections, {"train": {"steps": self.steps_of[cell.name]}})
        return build_run(self.preset, sections, seed)


class Profile(Config):
    """What a study changes to be run on a certain kind of machine."""

    preset: str | None = None
    """Preset of the base network, instead of the study's."""
    base: Delta = Field(default_factory=dict)
    """Changes over the study's base, by section."""
    seeds: Seeds | None = None
    """Seeds, instead of the study's."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Training time of a run in minutes, instead of the study's."""


class StudyFile(StudyConfig):
    """A study as written in ``ablations/*.yaml``: a study, and the profiles it can be run with. The first profile is the default."""

    profiles: dict[VariantName, Profile] = Field(default_factory=dict)
    """Named profiles, e.g. laptop and paper."""


SECTIONS: dict[str, type[Config]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "evaluate": EvalConfig,
}


def _split_field(name: str) -> tuple[str, str, str]:
    """``train.steps`` to (train, ., steps); a bare name is a field of the network. Raises ``ValueError`` for what is no field."""
    section, dot, key = name.rpartition(".")
    section = section or "model"
    if section not in SECTIONS:
        raise ValueError(
            f"{name}: expected a field of the network, or section.field with a section of {', '.join(SECTIONS)}"
        )
    fields = SECTIONS[section].model_fields
    if key not in fields:
        close = get_close_matches(key, fields, n=1)
        elsewhere = [f"{other}.{key}" for other, kind in SECTIONS.items() if key in kind.model_fields]
        hint = f"did you mean '{(elsewhere or close)[0]}'?" if elsewhere or close else f"known: {', '.join(fields)}"
        raise ValueError(f"{name}: no such field; {hint}")
    return section, dot, key


def _normal(section: str, key: str, value: Any) -> Any:
    """A value as the configuration holds it, so that 0.25 is 1/4; what its field does not take is left as it is."""
    try:
        return _field_type(section, key).validate_python(value)
    except ValidationError:
        return value


@cache
def _field_type(section: str, key: str) -> TypeAdapter[Any]:
    """One field alone: whether a ratio fits a width is not its business."""
    info = SECTIONS[section].model_fields[key]
    field_type: Any = Annotated[info.annotation, info]
    return TypeAdapter(field_type)


def _slug(value: Any) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", in_words(value).lower()).strip("-")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that is written twice, of which YAML would keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is written twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_study(path: str | Path, profile: str | None = None) -> StudyConfig:
    """Read and check a study file, as ``profile`` changes it (by default the first that it has).

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
        raise StudyError(
            f"{path}: expected a mapping with the keys {', '.join(StudyFile.model_fields)}, got {type(content).__name__}"
        )
    profiles = content.pop("profiles", None) or {}
    if not profiles and profile is None:
        return StudyConfig.model_validate(content)
    return _apply_profile(
        content, _Profiles.model_validate({"base": content.get("base") or {}, "profiles": profiles}), profile, path
    )


class _Profiles(Config):
    """The part of a study file that holds its profiles, and what they change."""

    base: Delta
    profiles: dict[VariantName, Profile]


def _apply_profile(content: dict[str, Any], part: _Profiles, wanted: str | None, path: Path) -> StudyConfig:
    name = wanted or next(iter(part.profiles), None)
    if name not in part.profiles:
        expected = f"expected one of {', '.join(part.profiles)}" if part.profiles else "it has none"
        raise StudyError(f"{path} has no profile {name}: {expected}")
    chosen = part.profiles[name]
    base = merge(part.base, chosen.base)
    rest = {key: value for key in ("preset", "seeds", "minutes") if (value := getattr(chosen, key)) is not None}
    return StudyConfig.model_validate({**content, **rest, "base": base, "profile": name})


def _messages(error: ValueError) -> list[str]:
    return describe_errors(error) if isinstance(error, ValidationError) else [str(error)]
