"""Configurations of networks, trainings and evaluations: validated, frozen, hashable by content. No torch in here.

Every ablation axis is a field of :class:`ModelConfig`, described by :class:`Axis` metadata; the defaults are the
paper's (arXiv 2501.15774). A variant is a *delta* over a preset: ``preset("asid", attention_sharing="none")``.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from math import isfinite, lcm
from pathlib import PurePath
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    StringConstraints,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from asid.files import is_printable

Steps = Annotated[int, Field(ge=1, le=1_000_000_000)]
Minutes = Annotated[float, Field(gt=0, le=1_000_000)]


def _check_line(text: str) -> str:
    if not is_printable(text):
        raise ValueError("expected one line of printable characters, got control characters or line breaks")
    return text


Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000), AfterValidator(_check_line)
]
"""Text that is shown, or a path."""
Window = Literal["meso", "global"]
Windows = Annotated[tuple[Window, ...], Field(max_length=8)]
Border = Literal["symmetric", "replicate"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Padding = Literal["zeros", "reflect", "replicate"]
PARTS = ("shallow", "groups", "deep", "upsample")
"""The parts of the network, as its parameters' names begin."""
Protocol = Literal["psnr-y/ssim-y crop=scale", "psnr-rgb/ssim-rgb crop=scale"]


def _to_fraction(value: Any) -> Fraction:
    """Read ``"1/6"``, ``0.25`` or ``0`` as an exact fraction (floats: the nearest with a denominator up to 256)."""
    if isinstance(value, float) and isfinite(value):
        nearest = Fraction(value).limit_denominator(256)
        if abs(nearest - Fraction(value)) > Fraction(1, 1_000_000):
            raise ValueError(f"expected a simple fraction such as 1/4, got {value}; write it as text, e.g. '1/6'")
        return nearest
    if isinstance(value, bool) or not isinstance(value, (int, str, Fraction)):
        raise ValueError(f"expected a fraction such as 1/4 or 0.25, got {value!r}")
    if isinstance(value, str) and not re.fullmatch(r"\s*\d{1,9}(/\d{1,9}|\.\d{1,9})?\s*", value):
        raise ValueError(f"expected a fraction such as 1/4 or 0.25, got {_shorten(repr(value))}")
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a fraction such as 1/4 or 0.25, got {value!r}") from None


Ratio = Annotated[Fraction, BeforeValidator(_to_fraction), PlainSerializer(str, return_type=str)]


class Config(BaseModel):
    """Base of all configurations: frozen, serialisable, hashable by content; an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_switches(cls, value: Any, info: ValidationInfo) -> Any:
        """Where a number is expected, ``yes`` and ``no``, which YAML reads as true and false, are not 1 and 0."""
        values = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, bool) for item in values) and not _allows_switch(
            cls.model_fields[info.field_name or ""].annotation
        ):
            raise ValueError(f"expected a number or text, got {_shorten(repr(value))} (YAML reads yes and no so)")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_keys(cls, data: Any, handler: Any) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            details = [cls._explain(line) for line in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, details) from None

    @classmethod
    def _explain(cls, line: Any) -> InitErrorDetails:
        """Replace pydantic's message for an unknown key by one that suggests the key that was probably meant."""
        kind, message = line["type"], line["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden" and len(line["loc"]) == 1:
            key = str(line["loc"][0])
            close = get_close_matches(key, cls.model_fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(cls.model_fields)}"
            kind, message = "unknown_key", f"unknown key; {hint}"
        custom = PydanticCustomError(kind, "{message}", {"message": message})
        return InitErrorDetails(type=custom, loc=line["loc"], input=line["input"])

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON values: fractions as text, tuples as lists."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the canonical JSON: equal for equal configurations."""
        return digest(self.to_dict())

    def override(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated (pydantic's ``model_copy`` does not validate)."""
        return type(self).model_validate({**self.to_dict(), **changes})


def _allows_switch(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_allows_switch, get_args(annotation)))


def digest(content: Any) -> str:
    """Twelve hexadecimal digits of the SHA-256 of ``content`` (JSON values) in canonical form."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Axis:
    """What ablations need to know about a field of :class:`ModelConfig`; the metadata of the field.

    A *component* is a mechanism that studies switch off by name: by setting the field to ``off``, or, if the field is a
    list and the component one of its ``items``, by removing that item. Items that occur in several fields are removed
    from all of them.
    """

    values: tuple[Any, ...]
    """Values worth comparing, as JSON values (lists as tuples)."""
    component: str | None = None
    """Name of the component that the value ``off`` takes out."""
    off: Any = None
    """The value without the component."""
    items: tuple[str, ...] = ()
    """Items of the list that are components themselves."""


_WINDOWS = ("meso", "global"), ("meso", "meso"), ("global", "global"), ("meso",), ("global",), ()
_KINDS = get_args(Window)
_SWITCH = (True, False)


MOST_PADDING = 512
"""Largest multiple, in LR pixels, to which the windows of a network may pad an image."""


class ModelConfig(Config):
    """The network's axes. The defaults build ASID for ×2 as published: 297 516 parameters."""

    scale: Annotated[Literal[1, 2, 3, 4, 8], Axis((1, 2, 3, 4, 8))] = 2
    """Upscaling factor s."""
    num_features: Annotated[int, Field(ge=4, le=512), Axis((16, 24, 32, 48, 64, 96))] = 48
    """Width C of the feature maps, in channels."""
    num_groups: Annotated[int, Field(ge=1, le=64), Axis((1, 2, 3, 4, 6, 8))] = 3
    """Number of groups G (3 is ASID, 8 is ASID-D8)."""
    attention_sharing: Annotated[
        Literal["all", "none"] | Annotated[int, Field(ge=1)], Axis(("all", 2, "none"), "sharing", off="none")
    ] = "all"
    """Groups that reuse spatial attention maps: all (but the first), none, or k (every k-th makes new ones)."""
    distillation_ratio: Annotated[
        Ratio, Field(ge=0, lt=1), Axis(("0", "1/8", "1/6", "1/4"), "distillation", off="0")
    ] = Fraction(1, 4)
    """Fraction of C that each step distils, i.e. sets aside; 0: none, every step works at full width."""
    distillation_steps: Annotated[int, Field(ge=1, le=16), Axis((1, 2, 3, 4, 5))] = 3
    """Number of steps in an information distillation block."""
    spatial_windows: Annotated[Windows, Axis(_WINDOWS, items=_KINDS)] = ("meso", "global")
    """Windows of the spatial attention layers of each step, in order; empty: no spatial attention."""
    channel_windows: Annotated[Windows, Axis(_WINDOWS, "channel-attention", off=(), items=_KINDS)] = (
        "meso",
        "global",
    )
    """Windows of the channel attention layers of each block, in order; empty: no channel attention."""
    window_size: Annotated[int, Field(ge=2, le=64), Axis((4, 8, 16))] = 8
    """Side M of a meso window, in LR pixels."""
    global_kind: Annotated[Literal["grid", "window"], Axis(("grid", "window"))] = "grid"
    """What global means: a grid of pixels spread over the whole image (the paper), or a larger local window."""
    global_size: Annotated[int, Field(ge=2, le=64), Axis((4, 8, 16))] = 8
    """Side of a global window, in tokens."""
    local_module: Annotated[bool, Axis(_SWITCH, "local-module", off=False)] = True
    """Convolutional local module at the start of each step."""
    squeeze_excitation: Annotated[bool, Axis(_SWITCH, "squeeze-excitation", off=False)] = True
    """Squeeze-and-excitation gate in the local module."""
    esa: Annotated[bool, Axis(_SWITCH, "esa", off=False)] = True
    """Enhanced spatial attention at the end of each group."""
    position_bias: Annotated[bool, Axis(_SWITCH, "position-bias", off=False)] = True
    """Learnt relative position bias in spatial attention."""
    padding: Annotated[Padding, Axis(get_args(Padding))] = "zeros"
    """Values that 3×3 convolutions see beyond the border of a map: zeros (the paper), reflect, or replicate."""

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        if self.size_multiple > MOST_PADDING:
            raise ValueError(
                f"window_size {self.window_size} and global_size {self.global_size} pad every image to a multiple of "
                f"{self.size_multiple} pixels; expected at most {MOST_PADDING}: choose one that divides the other"
            )
        return self

    @model_validator(mode="after")
    def _check_distillation(self) -> Self:
        distilled = self.distillation_ratio * self.num_features
        if distilled.denominator != 1:
            raise ValueError(
                f"distillation_ratio {self.distillation_ratio} of num_features {self.num_features} distils "
                f"{float(distilled):g} channels; expected a whole number: "
                f"choose a ratio k/{self.num_features} or another num_features"
            )
        if self.distillation_steps * distilled >= self.num_features:
            raise ValueError(
                f"distillation_ratio {self.distillation_ratio} × distillation_steps {self.distillation_steps} "
                f"leaves no channel to refine; expected a product below 1: lower one of the two"
            )
        return self

    @property
    def distilled_channels(self) -> int:
        """Width k = ratio · C of the slice that each step distils, in channels."""
        return int(self.distillation_ratio * self.num_features)

    @property
    def step_widths(self) -> tuple[int, ...]:
        """Width at which each distillation step works: C - (i - 1) k."""
        return tuple(self.num_features - i * self.distilled_channels for i in range(self.distillation_steps))

    @property
    def size_multiple(self) -> int:
        """Both sides of the input are padded to a multiple of this many pixels, which all windows in use divide."""
        used = {*self.spatial_windows, *self.channel_windows}
        sides = {"meso": self.window_size, "global": self.global_size}
        return lcm(*(sides[kind] for kind in used)) if used else 1

    def makes_maps(self, group: int) -> bool:
        """Whether ``group`` (from 0) makes its own spatial attention maps, or reuses those of the group before it."""
        match self.attention_sharing:
            case "all":
                return group == 0
            case "none":
                return True
            case every:
                return group % every == 0

    def group_kinds(self) -> tuple["ModelConfig", tuple[int, ...]]:
        """Reduce the network to one group of each kind: those that make maps, and those that reuse them, are identical.

        Returns:
            The reduced network, and for each group of this network the index of the identical group in the reduced one:
            0 if it makes maps, 1 if it reuses them.
        """
        kinds = tuple(0 if self.makes_maps(group) else 1 for group in range(self.num_groups))
        return self.override(num_groups=1 + max(kinds)), kinds


class PlainCNNConfig(Config):
    """A plain residual CNN, the reference without attention: :class:`asid.model.plain_cnn.PlainCNN`."""

    network: Literal["plain-cnn"] = "plain-cnn"
    """Which network this is. The configuration of an ASID network has no such field."""
    scale: Literal[1, 2, 3, 4, 8] = 2
    """Upscaling factor s."""
    num_features: Annotated[int, Field(ge=1, le=2048)] = 42
    """Width C of the feature maps, in channels."""
    num_blocks: Annotated[int, Field(ge=0, le=64)] = 3
    """Number of residual blocks, of two 3×3 convolutions each."""


NetworkConfig = ModelConfig | PlainCNNConfig
"""The configuration of any network."""


def _kind_of_network(value: Any) -> str:
    """Which configuration to validate ``value`` as, so that an error names the fields of one network only."""
    is_plain = isinstance(value, PlainCNNConfig) or (isinstance(value, Mapping) and "network" in value)
    return "network[plain-cnn]" if is_plain else "network[asid]"  # the brackets: see describe_errors


AnyNetwork = Annotated[
    Annotated[ModelConfig, Tag("network[asid]")] | Annotated[PlainCNNConfig, Tag("network[plain-cnn]")],
    Discriminator(_kind_of_network),
]
"""A field that holds the configuration of any network: a plain CNN if it has a key ``network``, otherwise ASID."""


AXES: Mapping[str, Axis] = MappingProxyType(
    {
        name: item
        for name, field in ModelConfig.model_fields.items()
        for item in field.metadata
        if isinstance(item, Axis)
    }
)
"""The ablation axes: every field of :class:`ModelConfig`."""


class DataConfig(Config):
    """Photographs, and how training patches are cut from them."""

    train: Line = "samples"
    """Training photographs: samples (from scikit-image), DIV2K, Flickr2K, DF2K, BSDS500, or a folder of images."""
    validation: Line = "samples"
    """Validation photographs: samples, a benchmark's name, or a folder of images."""
    allow_overlap: bool = False
    """Train even if training photographs are among those of validation or evaluation."""
    patch_size: Annotated[int, Field(ge=8, le=512)] = 64
    """Side of an LR training patch, in pixels."""
    candidates: Annotated[int, Field(ge=1, le=64)] = 1
    """Random patches that are drawn for each training patch, of which the most detailed is taken; 1: no choice."""
    augment: bool = True
    """Random flips and quarter turns of training patches."""
    border: Border = "symmetric"
    """Border rule of the bicubic reduction: symmetric (recent MATLAB) or replicate (older MATLAB)."""


class TrainConfig(Config):
    """How a network is trained. The defaults are the paper's optimiser and batch, with a number of steps of our own."""

    steps: Steps = 100_000
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Patches in a batch, over all devices."""
    start: Literal["random", "linear"] = "random"
    """Initial weights: random (the paper's), or linear: a network that starts as the least-squares interpolation of
    the training photographs."""
    pretrained: Line | None = None
    """Weights to begin with instead: a checkpoint file, the folder of a run, or the name of packaged weights. The
    network may have another scale: then its upsampling is fitted to the training photographs. Null: none."""
    value_range: tuple[float, float] = (0.0, 1.0)
    """Values of black and white in the images that the network takes and returns; the published weights use [-1, 1].
    The loss is minimised in these units; curves show it for images in [0, 1]."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all parameters (the paper's), or Muon for the matrices within the groups and AdamW for the rest."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-4
    """Peak learning rate of AdamW."""
    muon_rate: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Peak learning rate of Muon: about the size of the change of a matrix's singular values in a step."""
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Factors of the learning rate by part of the network: beginnings of parameter names, e.g. {deep: 0.1, groups.0:
    0.5}; the longest that fits counts. All other parameters have factor 1."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decay rates of AdamW's first and second moments."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Weight decay of AdamW."""
    schedule: Literal["cosine", "step", "constant", "trapezoid"] = "cosine"
    """Learning rate over time: cosine decay to zero, step (halved after each sixth of the run), constant, or trapezoid
    (constant, then linear decay to zero over the last 40 % of the run)."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Steps over which the learning rate rises linearly from zero."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient, which is clipped to it; null: no clipping."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the exponential moving average of the weights, which is validated and saved; null: no average."""
    validate_every: Steps = 1000
    """Steps between validations."""
    checkpoint_every: Steps = 1000
    """Steps between checkpoints from which an interrupted run resumes."""
    checkpoints: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=20)] = ()
    """Parts of the training, in growing order, after which the network is kept and later scored, e.g. [0.25, 0.5]."""
    precision: Precision = "32-true"
    """Arithmetic of the training step, as Lightning names it."""
    compile: bool = False
    """Compile the network's groups with torch.compile. For asid-tiny on two CPU cores that takes minutes (less when the
    compiler's cache has them) and then a fifth off each step: worth it from some 5000 steps on."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Kind of device; auto: chosen by Lightning."""
    devices: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = 1
    """Devices to train on in each machine; more than one: distributed data parallel."""
    num_nodes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Machines to train on."""
    loader_workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that cut patches; 0: the training process does. The patches are the same for any number."""

    @field_validator("value_range")
    @classmethod
    def _check_value_range(cls, value_range: tuple[float, float]) -> tuple[float, float]:
        low, high = value_range
        if low >= high:
            raise ValueError(f"expected [black, white] with black below white, got {list(value_range)}")
        return value_range

    @field_validator("checkpoints")
    @classmethod
    def _check_checkpoints(cls, checkpoints: tuple[float, ...]) -> tuple[float, ...]:
        if list(checkpoints) != sorted(set(checkpoints)):
            raise ValueError(f"expected different parts in growing order, got {list(checkpoints)}")
        return checkpoints

    @field_validator("rates")
    @classmethod
    def _check_rates(cls, rates: dict[str, float]) -> dict[str, float]:
        """Check the first component of each name; whether this network has the rest is known when it is built."""
        for name in rates:
            if name.split(".")[0] not in PARTS:
                close = get_close_matches(name.split(".")[0], PARTS, n=1)
                hint = (
                    f"did you mean '{close[0]}'?" if close else f"expected a name that begins with {', '.join(PARTS)}"
                )
                raise ValueError(f"the network has no part '{name}'; {hint}")
        return rates


class InferenceConfig(Config):
    """How a network is applied to an image: everything that can change the SR image."""

    tile: Annotated[int, Field(ge=8, le=65_536)] | None = None
    """Side of the tiles that an image is cut into, in LR pixels (the paper's tables: 64); null: the whole image."""
    overlap: Annotated[int, Field(ge=0)] = 24
    """Least overlap of neighbouring tiles, in LR pixels."""
    blend: Literal["mean", "smooth"] = "mean"
    """How overlapping tiles are blended: their mean, or weights that rise smoothly from the border of a tile."""
    ensemble: bool = False
    """Self-ensemble: the mean over eight flips and rotations of the image."""
    precision: Precision = "32-true"
    """Arithmetic of the forward pass."""

    @model_validator(mode="after")
    def _check_overlap(self) -> Self:
        if self.tile is not None and self.overlap >= self.tile:
            raise ValueError(f"expected an overlap smaller than the tile of {self.tile}, got {self.overlap}")
        return self

    def describe(self) -> str:
        """The choices as text, e.g. ``whole image`` or ``tiles of 64, overlap 24, mean, self-ensemble``."""
        parts = [f"tiles of {self.tile}, overlap {self.overlap}, {self.blend}" if self.tile else "whole image"]
        parts += ["self-ensemble"] if self.ensemble else []
        parts += [self.precision] if self.precision != "32-true" else []
        return ", ".join(parts)


class EvalConfig(InferenceConfig):
    """What a network is evaluated on, how it is applied, and by which protocol it is scored."""

    data: Annotated[tuple[Line, ...], Field(max_length=100)] = ("samples",)
    """Evaluation sets: samples (validation photographs of scikit-image), benchmarks by name, folders of HR images."""
    border: Border = "symmetric"
    """Border rule of the bicubic reduction that makes LR images if a set has no LR files."""
    protocol: Protocol = "psnr-y/ssim-y crop=scale"
    """How SR and HR images are compared: on luma or on RGB, with ``scale`` pixels cropped at each border."""
    also_tile: Annotated[int, Field(ge=8, le=65_536)] | None = None
    """Side of tiles, in LR pixels, in which each image is scored a second time, to tell what tiles cost; null: not."""

    @field_validator("data")
    @classmethod
    def _check_data(cls, data: tuple[str, ...]) -> tuple[str, ...]:
        if not data:
            raise ValueError("expected at least one evaluation set, got none")
        return data

    @model_validator(mode="after")
    def _check_second_tile(self) -> Self:
        if self.also_tile is not None and self.overlap >= self.also_tile:
            raise ValueError(f"expected an overlap smaller than also_tile {self.also_tile}, got {self.overlap}")
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [PurePath(source).name for source in self.data]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"two evaluation sets are called {twice[0]}, the last part of their paths: rename a folder"
            )
        return self


class RunConfig(Config):
    """Everything that the numbers of a run depend on: network, data, training, evaluation and seed."""

    model: AnyNetwork = ModelConfig()
    """The network: ASID, or a plain CNN."""
    data: DataConfig = DataConfig()
    """Photographs and patches."""
    train: TrainConfig = TrainConfig()
    """Training."""
    evaluate: EvalConfig = EvalConfig()
    """Evaluation."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the initial weights and of the training patches and their order."""

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        if isinstance(self.model, PlainCNNConfig):
            names, default = ("start", "pretrained", "rates", "optimizer", "muon_rate"), TrainConfig()
            if given := [f"train.{name}" for name in names if getattr(self.train, name) != getattr(default, name)]:
                raise ValueError(f"{', '.join(given)}: about the parts of ASID; leave it out for a plain CNN")
        return self

    def training_settings(self) -> dict[str, Any]:
        """What decides the weights and the curves of a training, besides the bytes of files, as JSON values.

        How often a training saves a checkpoint and how many processes load its patches change neither.
        """
        return training_settings(self.to_dict())


def training_settings(config: dict[str, Any]) -> dict[str, Any]:
    """:meth:`RunConfig.training_settings` of a configuration as JSON values, also one of another version."""
    others = {
        "data": ("train", "validation", "allow_overlap"),
        "train": ("checkpoint_every", "loader_workers", "pretrained"),
    }
    sections = {
        section: {name: value for name, value in config[section].items() if name not in left_out}
        for section, left_out in others.items()
    }
    return {"model": config["model"], **sections, "seed": config["seed"]}


PRESETS: dict[str, dict[str, Any]] = {
    "asid": {},
    "asid-d8": {"num_groups": 8},
    "asid-laptop": {"num_features": 32, "num_groups": 2, "distillation_steps": 2},
    "asid-tiny": {"num_features": 16},
}
"""Named networks as deltas over :class:`ModelConfig`. The small ones have every mechanism: ``asid-laptop`` is for
studies, wide enough to use its attention maps after a minute of training on a CPU; ``asid-tiny`` is for tests."""


def preset(name: str, **changes: Any) -> ModelConfig:
    """The network called ``name`` in :data:`PRESETS`, with some fields changed.

    Raises:
        ValueError: Unknown name; the message suggests one.
        ValidationError: The changes are not valid.
    """
    if name not in PRESETS:
        close = get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown preset '{name}': expected one of {', '.join(PRESETS)}{hint}")
    return ModelConfig.model_validate({**PRESETS[name], **changes})


def build_run(preset_name: str, sections: dict[str, dict[str, Any]], seed: int = 0) -> RunConfig:
    """A run from a preset and changes by section.

    Args:
        preset_name: A key of :data:`PRESETS`.
        sections: Changed fields of ``model``, ``data``, ``train`` and ``evaluate``.
        seed: The run's seed.

    Raises:
        ValueError: Unknown preset, or a preset for another network than ASID.
        ValidationError: Invalid changes; it lists all problems.
    """
    preset(preset_name)
    model = {**PRESETS[preset_name], **sections.get("model", {})}
    if "network" in model and PRESETS[preset_name]:
        raise ValueError(f"preset {preset_name} is an ASID network: leave it out where model.network is another one")
    return RunConfig.model_validate({**sections, "model": model, "seed": seed})


MOST_PROBLEMS = 20
"""Problems of a configuration that are listed."""


def describe_errors(error: ValidationError) -> list[str]:
    """The problems of a configuration, a line for each field: its name, what was expected, what it got."""
    problems: dict[str, list[str]] = {}
    for line in error.errors(include_url=False):
        # Each alternative of a union adds a tag such as literal['all','none'] to the location: one field, several
        # reasons.
        where = ".".join(
            str(part) for part in line["loc"] if "[" not in str(part) and not str(part).startswith("constrained-")
        )
        reason = line["msg"].removeprefix("Value error, ")
        if line["type"] not in ("unknown_key", "value_error") and not isinstance(line["input"], dict):
            reason += f" (got {_shorten(repr(line['input']))})"
        problems.setdefault(where or error.title, []).append(_shorten(reason, 1000))
    lines = [f"{_shorten(where)}: {'; or '.join(reasons[:5])}" for where, reasons in problems.items()]
    return [*lines[:MOST_PROBLEMS], *([f"and {more} more"] if (more := len(lines) - MOST_PROBLEMS) > 0 else [])]


def _shorten(text: str, most: int = 200) -> str:
    """Input from a file, for a message."""
    return text if len(text) <= most else f"{text[:most]}…"
