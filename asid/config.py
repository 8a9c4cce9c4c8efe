"""What a run is made of: validated, frozen, hashable configurations. No torch in here.

Every choice that the ablations vary is a field of :class:`ModelConfig`; the defaults are the paper's (arXiv 2501.15774).
A variant is a *delta* over a preset: ``preset("asid", attention_sharing="none")``.
"""

import hashlib
import json
from difflib import get_close_matches
from fractions import Fraction
from math import isfinite, lcm
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Window = Literal["meso", "global"]
Border = Literal["symmetric", "replicate"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Protocol = Literal["psnr-y/ssim-y crop=scale", "psnr-rgb/ssim-rgb crop=scale"]


def _to_fraction(value: Any) -> Fraction:
    """Read ``1/6``, ``"1/6"``, ``0.25`` or ``0`` as an exact fraction (floats: the nearest with a denominator up to 256)."""
    if isinstance(value, float) and isfinite(value):
        nearest = Fraction(value).limit_denominator(256)
        if abs(nearest - Fraction(value)) > Fraction(1, 1_000_000):
            raise ValueError(f"expected a simple fraction such as 1/4, got {value}; write it as text, e.g. '1/6'")
        return nearest
    if isinstance(value, bool) or not isinstance(value, (int, str, Fraction)):
        raise ValueError(f"expected a fraction such as 1/4 or 0.25, got {value!r}")
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a fraction such as 1/4 or 0.25, got {value!r}") from None


Ratio = Annotated[Fraction, BeforeValidator(_to_fraction), PlainSerializer(str, return_type=str)]


class Config(BaseModel):
    """Base of all configurations: frozen, unknown keys refused with a suggestion, serialisable, hashable by content."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )

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
        """Turn 'extra inputs are not permitted' into a message that says which key was probably meant."""
        kind, message = line["type"], line["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden" and len(line["loc"]) == 1:
            key = str(line["loc"][0])
            close = get_close_matches(key, cls.model_fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(cls.model_fields)}"
            kind, message = "unknown_key", f"unknown key; {hint}"
        # Braces would be read as a template by pydantic.
        template = message.replace("{", "(").replace("}", ")")
        return InitErrorDetails(type=PydanticCustomError(kind, template), loc=line["loc"], input=line["input"])

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON values (fractions as text, tuples as lists)."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Twelve hexadecimal digits of SHA-256 over the canonical JSON: equal for equal configurations."""
        return digest(self.to_dict())

    def override(self, **changes: Any) -> Self:
        """A validated copy with some fields changed (unlike pydantic's ``model_copy``, which does not validate)."""
        return type(self).model_validate({**self.to_dict(), **changes})


def digest(content: Any) -> str:
    """Twelve hexadecimal digits of SHA-256 over ``content`` (JSON values) written canonically."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class ModelConfig(Config):
    """The network's axes. The defaults build ASID for ×2 as published: 297 516 parameters."""

    scale: Literal[1, 2, 3, 4, 8] = 2
    """Upscaling factor s."""
    num_features: Annotated[int, Field(ge=4, le=512)] = 48
    """Width C of the feature maps, in channels."""
    num_groups: Annotated[int, Field(ge=1, le=64)] = 3
    """Number of groups G (3 is ASID, 8 is ASID-D8)."""
    attention_sharing: Literal["all", "none"] | Annotated[int, Field(ge=1)] = "all"
    """Which groups reuse spatial attention maps: all (the first gives, the rest take), none, or k: every k-th makes new ones."""
    distillation_ratio: Annotated[Ratio, Field(ge=0, lt=1)] = Fraction(1, 4)
    """Fraction of C that each step distils (sets aside, not refined further); 0: none, every step works at full width."""
    distillation_steps: Annotated[int, Field(ge=1, le=16)] = 3
    """Number of steps in an information distillation block."""
    spatial_windows: tuple[Window, ...] = ("meso", "global")
    """Windows of the spatial attention layers of each step, in order; empty: no spatial attention."""
    channel_windows: tuple[Window, ...] = ("meso", "global")
    """Windows of the channel attention layers of each block, in order; empty: no channel attention."""
    window_size: Annotated[int, Field(ge=2, le=64)] = 8
    """Side M of a meso window, in LR pixels."""
    global_kind: Literal["grid", "window"] = "grid"
    """What global means: a grid of pixels spread over the whole image (the paper), or a larger local window."""
    global_size: Annotated[int, Field(ge=2, le=64)] = 8
    """Side of a global window, in tokens."""
    local_module: bool = True
    """Convolutional local module at the start of each step."""
    squeeze_excitation: bool = True
    """Squeeze-and-excitation gate in the local module."""
    esa: bool = True
    """Enhanced spatial attention at the end of each group."""
    position_bias: bool = True
    """Learnt relative position bias in spatial attention."""

    @model_validator(mode="after")
    def _check_distillation(self) -> Self:
        distilled = self.distillation_ratio * self.num_features
        if distilled.denominator != 1:
            raise ValueError(
                f"distillation_ratio {self.distillation_ratio} of num_features {self.num_features} distils {float(distilled):g} channels; "
                f"expected a whole number: choose a ratio k/{self.num_features} or another num_features"
            )
        if self.distillation_steps * distilled >= self.num_features:
            raise ValueError(
                f"distillation_ratio {self.distillation_ratio} × distillation_steps {self.distillation_steps} leaves no channel to refine; "
                f"expected a product below 1: lower one of the two"
            )
        return self

    @property
    def distilled_channels(self) -> int:
        """Channels k = ratio · C of the slice that each step distils: set aside, not refined further."""
        return int(self.distillation_ratio * self.num_features)

    @property
    def step_widths(self) -> tuple[int, ...]:
        """Width at which each distillation step works: C - (i - 1) k."""
        return tuple(self.num_features - i * self.distilled_channels for i in range(self.distillation_steps))

    @property
    def size_multiple(self) -> int:
        """The network pads its input to a multiple of this many pixels, so that every kind of window in use divides it."""
        used = {*self.spatial_windows, *self.channel_windows}
        sides = {"meso": self.window_size, "global": self.global_size}
        return lcm(*(sides[kind] for kind in used)) if used else 1

    def makes_maps(self, group: int) -> bool:
        """Whether ``group`` (from 0) computes fresh spatial attention maps or reuses those of an earlier group."""
        every = {"all": self.num_groups, "none": 1}.get(str(self.attention_sharing), self.attention_sharing)
        return group % int(every) == 0


class DataConfig(Config):
    """Where photographs come from, and how training patches are cut."""

    train: str = "samples"
    """Training photographs: samples (those that ship in scikit-image), DIV2K, Flickr2K, DF2K, BSDS500, or a folder of images."""
    validation: str = "samples"
    """Validation photographs: samples, a benchmark's name, or a folder of images."""
    patch_size: Annotated[int, Field(ge=8, le=512)] = 64
    """Side of an LR training patch, in pixels."""
    augment: bool = True
    """Random flips and quarter turns of training patches."""
    border: Border = "symmetric"
    """Border rule of the bicubic reduction: symmetric (recent MATLAB) or replicate (older MATLAB)."""


class TrainConfig(Config):
    """How a network is trained. The defaults are the paper's loss, optimiser and batch; steps are ours to choose."""

    steps: Annotated[int, Field(ge=1)] = 100_000
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Patches in a batch, over all devices."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-4
    """Peak learning rate of AdamW."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decay rates of AdamW's moments."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Weight decay of AdamW."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Learning rate over time: cosine to zero, halved at each sixth of the run (step), or constant."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises linearly from zero."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; null: not clipped."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the exponential moving average of the weights that is validated and saved; null: the last weights are."""
    validate_every: Annotated[int, Field(ge=1)] = 1000
    """Steps between validations."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 1000
    """Steps between checkpoints from which an interrupted run resumes."""
    precision: Precision = "32-true"
    """Arithmetic of the training step, in Lightning's words."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Device kind, chosen by Lightning when auto."""
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    """Devices of one machine to train on; more than one: distributed data parallel."""
    num_nodes: Annotated[int, Field(ge=1)] = 1
    """Machines to train on."""
    loader_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that cut patches; 0: in the training process. The data is the same for any number."""


class InferenceConfig(Config):
    """How a network is applied to an image: all that can change the SR image."""

    tile: Annotated[int, Field(ge=8)] | None = None
    """Side of the tiles that an image is cut into, in LR pixels (64 in the paper's tables); null: the whole image at once."""
    overlap: Annotated[int, Field(ge=0)] = 24
    """Pixels that neighbouring tiles share at least, in LR pixels."""
    blend: Literal["mean", "smooth"] = "mean"
    """How tiles are joined where they overlap: their mean, or weights that rise smoothly from a tile's border."""
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
        """The choices in a few words, e.g. ``whole image`` or ``tiles of 64, overlap 24, self-ensemble``."""
        words = [f"tiles of {self.tile}, overlap {self.overlap}, {self.blend}" if self.tile else "whole image"]
        words += ["self-ensemble"] if self.ensemble else []
        words += [self.precision] if self.precision != "32-true" else []
        return ", ".join(words)


class EvalConfig(InferenceConfig):
    """What a network is scored on, how it is applied, and by which protocol."""

    data: tuple[str, ...] = ("samples",)
    """Evaluation sets: samples (the validation photographs of scikit-image), benchmarks by name, or folders of HR images."""
    border: Border = "symmetric"
    """Border rule of the bicubic reduction that makes LR images where there are no LR files."""
    protocol: Protocol = "psnr-y/ssim-y crop=scale"
    """How SR and HR images are compared: on luma, or on RGB; scale pixels are cropped at each border."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [PurePath(source).name for source in self.data]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"two evaluation sets are called {twice[0]}: scores and images go by the last part of a path; rename a folder"
            )
        return self


class RunConfig(Config):
    """Everything that one run's numbers depend on: a network, its data, its training, its evaluation and a seed."""

    model: ModelConfig = ModelConfig()
    """The network."""
    data: DataConfig = DataConfig()
    """Photographs and patches."""
    train: TrainConfig = TrainConfig()
    """Training."""
    evaluate: EvalConfig = EvalConfig()
    """Evaluation."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the initial weights and of the order of the training patches."""


PRESETS: dict[str, dict[str, Any]] = {
    "asid": {},
    "asid-d8": {"num_groups": 8},
    "asid-tiny": {"num_features": 16},
}
"""Named starting points of :class:`ModelConfig`, as deltas over its defaults. ``asid-tiny`` has every mechanism at a third of the width."""


def preset(name: str, **changes: Any) -> ModelConfig:
    """The model configuration ``name`` with some fields changed; raises ``ValueError`` for an unknown name."""
    if name not in PRESETS:
        close = get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown preset '{name}': expected one of {', '.join(PRESETS)}{hint}")
    return ModelConfig.model_validate({**PRESETS[name], **changes})


def build_run(preset_name: str, sections: dict[str, dict[str, Any]], seed: int = 0) -> RunConfig:
    """A run from a preset and changes by section (``model``, ``data``, ``train``, ``evaluate``).

    Raises ``pydantic.ValidationError`` with all problems, or ``ValueError`` for an unknown preset.
    """
    preset(preset_name)
    model = {**PRESETS[preset_name], **sections.get("model", {})}
    return RunConfig.model_validate({**sections, "model": model, "seed": seed})


def describe_errors(error: ValidationError) -> list[str]:
    """One line for each problem in a configuration: where, what was wrong, what came."""
    problems: dict[str, list[str]] = {}
    for line in error.errors(include_url=False):
        # The alternatives of a union carry a tag such as literal['all','none'] at the end of their location: one place, several reasons.
        where = ".".join(
            str(part) for part in line["loc"] if "[" not in str(part) and not str(part).startswith("constrained-")
        )
        reason = line["msg"].removeprefix("Value error, ")
        if line["type"] not in ("unknown_key", "value_error") and not isinstance(line["input"], dict):
            reason += f" (got {line['input']!r})"
        problems.setdefault(where or error.title, []).append(reason)
    return [f"{where}: {'; or '.join(reasons)}" for where, reasons in problems.items()]
