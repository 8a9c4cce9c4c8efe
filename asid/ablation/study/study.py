"""The schema of study files (``ablations/*.yaml``), and how they are read.

A study is a base network and variants, each a change over the base. :mod:`asid.ablation.study.expand` makes runs of it.
"""

import shlex
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from asid.ablation.study.components import Component
from asid.ablation.study.references import REFERENCES, TRAINED, Reference
from asid.ablation.study.until import Until, fill_seeds
from asid.ablation.study.variants import Delta, merge
from asid.config import Config, Line, Minutes, Steps
from asid.files import STUDY, parse_yaml

PROFILES_FILE = "profiles.yaml"
"""File with the profiles that the study files of a folder share."""


class StudyError(ValueError):
    """A study file that cannot be read or does not make sense.

    Args:
        problems: What is wrong, all at once.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


_MAPPING = {"type": "object", "additionalProperties": {"type": "object"}}
_OptionalDelta = Annotated[Delta, WithJsonSchema({"anyOf": [_MAPPING, {"type": "null"}]})]
"""A change in a study file, where a name without a value stands for no change."""
VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000)]
_SEEDS = TypeAdapter(tuple[Seed, ...])
Values = Annotated[list[Any], Field(min_length=1, max_length=1000)]
MOST_VARIANTS = 2000
"""Combinations of factors in a study."""


def _check_references(references: tuple[Reference, ...]) -> tuple[Reference, ...]:
    if len(set(references)) != len(references):
        raise ValueError(f"expected different references, got {', '.join(references)}")
    return references


References = Annotated[tuple[Reference, ...], AfterValidator(_check_references)]


class StudyConfig(Config):
    """An ablation study as written: a base, named variants, and generators that make more of them."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=100)]
    """Name of the study and of its folder under results/."""
    question: Line
    """What the study asks, in one sentence."""
    preset: str = "asid"
    """Preset of the base network."""
    base: Delta = Field(default_factory=dict)
    """Changes over the preset and the defaults that all variants share, by section: model, data, train, evaluate."""
    variants: dict[VariantName, _OptionalDelta] = Field(default_factory=dict)
    """Named variants, each a change over the base by section. A variant without changes names the base."""
    factors: dict[str, Values] = Field(default_factory=dict)
    """Fields and their values; every combination becomes a variant. Fields of other sections: train.learning_rate."""
    zip: dict[str, Values] = Field(default_factory=dict)
    """Fields with the same number of values: the first values make a variant, the second values the next, and so on."""
    leave_one_out: tuple[Component, ...] = ()
    """Components, each removed from the base alone."""
    add_one_in: tuple[Component, ...] = ()
    """Components, each added alone to a network that has none of them."""
    pairwise: tuple[Component, ...] = ()
    """Components, removed from the base two at a time."""
    exclude: tuple[Annotated[dict[str, Any], Field(min_length=1)], ...] = ()
    """Rules: a generated variant whose fields have all the values of a rule is dropped, and listed as dropped."""
    match: Literal["params", "macs"] | None = None
    """Add a control to each variant that differs in size: the same change at the size of the base, within 2 %."""
    seeds: Seeds = (0,)
    """Seeds that each variant is run with; with until, the first ones."""
    until: Until | None = None
    """Add seeds until there is a verdict: looks at results that are declared before the first run."""
    minutes: Minutes | None = None
    """Training time of a run in minutes, instead of train.steps: a variant gets the steps that its speed allows."""
    steps_of: dict[str, Steps] = Field(default_factory=dict)
    """Steps of single variants, overriding train.steps; with minutes, filled in from measured speeds."""
    margin: Annotated[float, Field(gt=0)] = 0.05
    """Change of PSNR, in dB, below which two variants count as equivalent."""
    references: References = ("bicubic", "linear")
    """Rows for comparison that are not tested: bicubic; linear, a least-squares filter that is fitted to the training
    photographs; plain-cnn, a residual CNN of the base's size that is trained like the base, with every seed."""
    notebook: Line = "../notebooks/03_train_variant.ipynb"
    """Notebook that executes one run, relative to the study file."""
    profile: VariantName | None = None
    """Profile of the study file that was applied."""

    @model_validator(mode="before")
    @classmethod
    def _fill_seeds(cls, content: Any) -> Any:
        """With ``until``, as many seeds as its last look."""
        if not isinstance(content, dict) or content.get("until") is None:
            return content
        try:
            until = Until.model_validate(content["until"])
            seeds = _SEEDS.validate_python(content.get("seeds", ()))
        except ValidationError:  # reported with the field that it belongs to
            return content
        return {**content, "seeds": fill_seeds(seeds, until.looks[-1])}

    @field_validator("variants", mode="before")
    @classmethod
    def _allow_empty(cls, variants: Any) -> Any:
        """``base:`` with no value is a variant without changes."""
        return {name: delta or {} for name, delta in variants.items()} if isinstance(variants, dict) else variants

    @field_validator("variants")
    @classmethod
    def _check_variants(cls, variants: dict[str, Delta]) -> dict[str, Delta]:
        bases = [name for name, delta in variants.items() if not any(delta.values())]
        if len(bases) > 1:
            raise ValueError(
                f"expected at most one variant without changes, the base, got {len(bases)}: {', '.join(bases)}"
            )
        if reserved := [name for name in REFERENCES if name in variants]:
            raise ValueError(f"'{reserved[0]}' is a reference, not a variant: choose another name")
        if any(variants.get("base", {}).values()):
            raise ValueError(
                "the variant 'base' has changes, but base is the name of the network without any: choose another name"
            )
        return variants

    @field_validator("factors")
    @classmethod
    def _check_factors(cls, factors: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if (combinations := prod(map(len, factors.values()))) > MOST_VARIANTS:
            raise ValueError(f"expected at most {MOST_VARIANTS} combinations, got {combinations}")
        return factors

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
            counts = ", ".join(f"{count} for {name}" for name, count in lengths.items())
            raise ValueError(f"expected equally many values for each field, got {counts}")
        return columns

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"expected different seeds, got {list(seeds)}")
        return seeds

    @property
    def trained_references(self) -> tuple[Reference, ...]:
        """The references that are run with every seed, like a variant."""
        return tuple(name for name in self.references if name in TRAINED)

    @property
    def full_name(self) -> str:
        """Name of the study and its profile, e.g. ``sharing-laptop``: by default the name of its folder."""
        return f"{self.name}-{self.profile}" if self.profile else self.name

    def with_more_seeds(self, number: int) -> "StudyConfig":
        """The study with its own seeds, and then the ``number`` smallest others.

        Raises:
            StudyError: It has looks, which say how many seeds there are.
        """
        if self.until:
            raise StudyError(
                f"{self.name} has looks, which add seeds until there is a verdict: declare more of them in its file, "
                f"e.g. until: {{looks: {[*self.until.looks, self.until.looks[-1] + number]}}}"
            )
        return self.override(seeds=fill_seeds(self.seeds, len(self.seeds) + number))

    @property
    def base_name(self) -> str:
        """Name of the variant without changes."""
        return next((name for name, delta in self.variants.items() if not any(delta.values())), "base")


class Profile(Config):
    """What changes when a study is run on a particular kind of machine."""

    preset: str | None = None
    """Preset of the base network, replacing the study's."""
    base: Delta = Field(default_factory=dict)
    """Changes over the study's base, by section."""
    seeds: Seeds | None = None
    """Seeds, replacing the study's."""
    until: Until | None = None
    """Looks at results, replacing the study's."""
    minutes: Minutes | None = None
    """Training time of a run in minutes, replacing the study's."""
    references: References | None = None
    """References, replacing the study's."""


_REPLACED = [name for name in Profile.model_fields if name != "base"]
"""The fields of a study that a profile replaces; its ``base`` is merged."""


def _list_to_mapping(profiles: Any) -> Any:
    is_list = isinstance(profiles, list) and all(isinstance(name, str) for name in profiles)
    return dict.fromkeys(profiles) if is_list else profiles


_ByName = dict[VariantName, Profile | None]
Profiles = Annotated[
    _ByName, BeforeValidator(_list_to_mapping, json_schema_input_type=tuple[VariantName, ...] | _ByName)
]


class StudyFile(StudyConfig):
    """A study file: a study, and the profiles that it can be run with. The first profile is the default."""

    profiles: Profiles = Field(default_factory=dict)
    """Names of profiles in profiles.yaml beside the file, or a mapping of names to changes over them or to new ones."""


def read_study_file(path: str | Path, profile: str | None = None) -> StudyConfig:
    """Read a study file and apply a profile.

    Args:
        path: The study file. Profiles that it names are looked up in ``profiles.yaml`` in the same folder.
        profile: Name of the profile; by default the first one that the file lists.

    Raises:
        StudyError: The file is missing, is not valid YAML, or has no such profile.
        pydantic.ValidationError: A field is wrong; all problems at once.
    """
    path = Path(path)
    if (path / STUDY).is_file():
        raise StudyError(f"{path} is the folder of a study: asid ablate resume {shlex.quote(str(path))} continues it")
    if not path.is_file():
        what, folder = (f"{path} is a folder", path) if path.is_dir() else (f"no study file at {path}", path.parent)
        files = [str(file) for file in sorted(folder.glob("*.yaml")) if file.name != PROFILES_FILE]
        raise StudyError(f"{what}: expected a study file, such as {', '.join(files) or 'ablations/quick.yaml'}")
    return read_study_text(_read_text(path), path, profile)


def read_study_text(text: str, path: Path, profile: str | None = None) -> StudyConfig:
    """:func:`read_study_file` for a text that is, or could be, the file at ``path``."""
    content = _read_mapping(text, path, StudyFile)
    listed = content.pop("profiles", None) or {}
    if not listed and profile is None:
        return StudyConfig.model_validate(content)
    part = _ProfilePart.model_validate({"base": content.get("base") or {}, "profiles": listed})
    return _apply_profile(content, part, profile, path)


def list_profiles(path: str | Path) -> list[str]:
    """The profiles that a study file can be run with, its default first; none of a file that cannot be read."""
    try:
        content = _read_mapping(_read_text(Path(path)), Path(path))
        return list(_ProfilePart.model_validate({"base": {}, "profiles": content.get("profiles") or {}}).profiles)
    except (OSError, ValueError):
        return []


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise StudyError(f"{path} is not valid YAML: {error}") from None


def _read_mapping(text: str, path: Path, schema: type[Config] | None = None) -> dict[str, Any]:
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise StudyError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        keys = f" with the keys {', '.join(schema.model_fields)}" if schema else ""
        raise StudyError(f"{path}: expected a mapping{keys}, got {type(content).__name__}")
    return content


class _ProfilePart(Config):
    """The part of a study file that profiles are about."""

    base: Delta
    profiles: Profiles


class _SharedProfiles(Config):
    """The content of ``profiles.yaml``."""

    profiles: dict[VariantName, Profile]


def _apply_profile(content: dict[str, Any], part: _ProfilePart, wanted: str | None, path: Path) -> StudyConfig:
    changes = part.profiles
    name = wanted or next(iter(changes), None)
    if name is None or name not in changes:
        expected = f"expected one of {', '.join(changes)}" if changes else "it has none"
        raise StudyError(f"{path} has no profile {name}: {expected}")
    file = path.parent / PROFILES_FILE
    shared: dict[str, Profile] = {}
    if file.is_file():
        shared = _SharedProfiles.model_validate({"profiles": _read_mapping(_read_text(file), file)}).profiles
    if changes[name] is None and name not in shared:
        raise StudyError(f"{path}: profile {name} is empty, and {file} has {', '.join(shared) or 'no profiles'}")
    base = part.base
    rest: dict[str, Any] = {}
    for layer in filter(None, (shared.get(name), changes[name])):
        base = merge(base, layer.base)
        rest |= {key: value for key in _REPLACED if (value := getattr(layer, key)) is not None}
    return StudyConfig.model_validate({**content, **rest, "base": base, "profile": name})
