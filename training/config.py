"""Training configuration: every key with its type, default and meaning, and the configurations that come along.

docs/training.md lists the keys; its tables are made of the docstrings below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import yaml
from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator

from yoloscope.models import registry
from yoloscope.models.errors import ConfigError
from yoloscope.models.spec import ResizeSpec
from yoloscope.models.strict_model import StrictModel, first_error
from yoloscope.models.zoo.official import OFFICIAL
from yoloscope.training.checkpoint.files import BEST, CONFIG, LAST
from yoloscope.training.config_keys import explain_unknown_key, load_yaml, with_current_keys, yaml_reason

_FOLDER = Path(__file__).parent / "configs"


def config_names() -> tuple[str, ...]:
    """Return the names of the configurations that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def find_config(name_or_path: str) -> TrainingConfig:
    """Return a configuration by name, or from a YAML file; raise ConfigError where there is neither."""
    if name_or_path in config_names():
        return TrainingConfig.load(_FOLDER / f"{name_or_path}.yaml")
    path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(config_names())
        raise ConfigError(f"--config: expected a YAML file or one of {known}, got {name_or_path!r}")
    return TrainingConfig.load(path)


class _Section(StrictModel):
    """Keys that are documented by the docstrings below them."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class DataConfig(_Section):
    """Splits that are used, and their reading."""

    train: str | None = "train"
    """Split to train on; null: the whole data set. All of a data set that has no splits, but for what is held out."""
    val: str | float | None = "val"
    """Split to validate on, or a share between 0 and 1 of `train` to hold out (by `seed`), or null for none. Where the
    data set has no split for it, .2 of `train` are held out."""
    workers: int | None = Field(default=None, ge=0)
    """Processes that read and augment; null: one less than the CPUs, at most 8; 0: none."""
    cache_mb: int = Field(default=0, ge=0)
    """Bound of the decoded images that each worker keeps, in MiB."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    """What an image does that cannot be read: stop the training with a checkpoint (in `val` before the first step), or
    be skipped, its name logged."""
    shapes: Literal["enclose", "refuse"] = "enclose"
    """Polygons, oriented boxes, masks and boxes with a score: read as the boxes that enclose them, or refused."""

    @field_validator("val")
    @classmethod
    def _check_val(cls, val: str | float | None) -> str | float | None:
        if isinstance(val, float) and not 0 < val < 1:
            raise ValueError("expected the name of a split, a share between 0 and 1, or null")
        return val


class OptimizerConfig(_Section):
    """The optimizer."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter, 2019), or SGD with momentum as darknet has it."""
    lr: float = Field(default=0.002, gt=0)
    """Learning rate after the warmup."""
    weight_decay: float = Field(default=0.0005, ge=0)
    """Weight decay, of kernels alone."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of SGD, first beta of AdamW."""
    grad_clip_norm: float | None = Field(default=10.0, gt=0)
    """Largest norm of the gradient; null: none."""


class ScheduleConfig(_Section):
    """The learning rate over the run."""

    kind: Literal["cosine", "steps", "constant"] = "cosine"
    """Cosine annealing with restarts, steps as darknet's, or constant after the warmup."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """Epochs over which the rate rises from 0."""
    warmup_power: float = Field(default=1.0, gt=0)
    """Power of that rise: 1 is linear, darknet has 4."""
    cycle_epochs: float | None = Field(default=None, gt=0)
    """Epochs of the first cycle of `cosine`; null: one cycle, the run."""
    multiplier: int = Field(default=2, ge=1)
    """How many times longer each cycle is than the one before."""
    min_lr_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of the rate at which a cycle ends."""
    milestones: tuple[float, ...] = (0.8, 0.9)
    """Shares of the run at which `steps` changes the rate."""
    gammas: tuple[float, ...] = (0.1, 0.1)
    """Factor of the rate at each of `milestones`."""


class ColorConfig(_Section):
    """Darknet's distortion of colors."""

    hue: float = 0.1
    """Largest turn of the hue, as a share of the circle."""
    saturation: float = 1.5
    """Largest factor of the saturation, up or down."""
    exposure: float = 1.5
    """Largest factor of the brightness, up or down."""


class AugmentConfig(_Section):
    """Augmentation of images; probabilities are per network input, null and 0 switch off."""

    mosaic: float = Field(default=0.5, ge=0, le=1)
    """Probability of Mosaic: four images in one."""
    cutmix: float = Field(default=0.0, ge=0, le=1)
    """Probability of CutMix: a rectangle of another image."""
    cutmix_alpha: float = Field(default=1.0, gt=0)
    """Parameter of the beta distribution of the rectangle's area."""
    mixup: float = Field(default=0.0, ge=0, le=1)
    """Probability of MixUp: a blend of two images, whose objects weigh as they are blended."""
    mixup_alpha: float = Field(default=1.5, gt=0)
    """Parameter of the beta distribution of the blend."""
    flip_horizontal: float = Field(default=0.5, ge=0, le=1)
    """Probability of a mirror image, left and right."""
    flip_vertical: float = Field(default=0.0, ge=0, le=1)
    """Probability of a mirror image, up and down."""
    crop_jitter: float | None = Field(default=None, gt=0, lt=0.5)
    """Largest move of each edge, as a share of the side (darknet's `jitter`)."""
    random_scale: tuple[float, float] | None = None
    """Least and largest factor of a zoom."""
    color: ColorConfig | None = ColorConfig()
    """Distortion of colors."""
    random_shapes: float | None = Field(default=None, ge=1)
    """Factor f of multi-scale training: sizes between 1/f and f of the input (darknet: 1.4)."""
    random_shapes_every: int = Field(default=10, ge=1)
    """Steps after which the size changes."""
    close_mosaic_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of the epochs, rounded to whole ones, that end the run without Mosaic, CutMix and MixUp."""


class FreebiesConfig(_Section):
    """The other freebies; null leaves what the loss preset or the network has."""

    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    """Label smoothing of the classes in a formula preset (v1..v4)."""
    multi_anchor: bool | None = None
    """Several anchors for one object in a formula preset, as in YOLOv4."""
    box_loss: str | None = None
    """Box loss of a formula preset: a name of `losses.terms.BOX_LOSSES`, as ciou."""
    grid_sensitivity: bool = True
    """Keep scale_xy of the heads; false sets it to 1."""
    drop_block: float = Field(default=0.0, ge=0, lt=1)
    """Probability of DropBlock at the end of its linear ramp; needs a network that has it, as yolov4."""
    cross_mini_batch_norm: bool = False
    """Normalize over the mini-batches of one step (CmBN)."""
    self_adversarial: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps whose images the network alters first, against itself."""
    self_adversarial_epsilon: float = Field(default=2 / 255, gt=0, le=1)
    """Largest alteration of a pixel in 0..1."""


class LossConfig(_Section):
    """The loss ([docs/losses.md](losses.md))."""

    preset: str | None = None
    """Loss preset, as v3 or v4-darknet; null: the network's own."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Keys of the preset with other values."""


class EmaConfig(_Section):
    """The moving average of the weights, which is what is validated and exported."""

    decay: float = Field(default=0.9998, ge=0, lt=1)
    """Share that the average keeps at a step."""
    warmup: float = Field(default=10.0, ge=1)
    """Larger is slower: step n keeps at most (1 + n) / (warmup + n)."""


class ValidationConfig(_Section):
    """Measurement of AP while training."""

    every_epochs: int = Field(default=1, ge=1)
    """Epochs between two measurements; the last epoch is always measured."""
    patience: int | None = Field(default=None, ge=1)
    """Measurements without a better AP after which training ends; null: never."""
    batch_size: int = Field(default=1, ge=1)
    """Images that are measured together."""


class StartConfig(_Section):
    """The former spelling of `start`, for darknet weights alone."""

    weights: Path
    """A .weights file."""
    part: Literal["whole", "backbone", "other_classes"] = "whole"
    """All of the file, which must fit; its first layers; or every layer that fits."""
    layers: int | None = Field(default=None, ge=1)
    """Layers of `backbone`; null: the file ends there."""
    num_classes: int = Field(default=80, ge=1)
    """Classes that `other_classes` was trained for."""


class DistillConfig(_Section):
    """Learning from teachers as well as from labels."""

    teachers: int | tuple[Path, ...]
    """Checkpoints or folders of runs with the heads of this one, whose mean is taken, or their number: so many are
    trained first, by this configuration from its seed and those that follow, in `teachers` of the run's folder."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the loss that teachers have; the labels have the rest."""
    box_weight: float = Field(default=5.0, ge=0)
    """Weight of the boxes in what it costs to answer otherwise than the teachers."""

    @field_validator("teachers", mode="before")
    @classmethod
    def _check_teachers(cls, value: object) -> object:
        number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        paths = isinstance(value, list | tuple) and all(isinstance(one, str | Path) and str(one) for one in value)
        if not number and not (paths and value):
            raise ValueError("expected a number of at least 1, or a list of checkpoints or folders of runs")
        return value


def _start_kind(value: object) -> str | None:
    if isinstance(value, str | Path):
        return "place"
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, str | Path) for one in value):
        return "darknet"
    return "former" if isinstance(value, Mapping | StartConfig) else None


BUILTIN_NAME: Final = "builtin"
_START_KINDS: Final = ("place", "darknet", "former")
START_EXPECTED: Final = (
    f"an official model ({', '.join(OFFICIAL)}), {BUILTIN_NAME}, a darknet .weights file (its .cfg beside it or in a "
    "list of both), a checkpoint (.ckpt), the folder of a run, or an .onnx file"
)
Start: TypeAlias = Annotated[
    Annotated[str, BeforeValidator(str), Tag("place")]
    | Annotated[tuple[Path, Path], Tag("darknet")]
    | Annotated[StartConfig, Tag("former")],
    Discriminator(
        _start_kind, custom_error_type="start", custom_error_message=f"Value error, expected {START_EXPECTED}"
    ),
]

_USUAL_SIDE: Final = 416


def _of_start(values: Mapping[str, Any]) -> TrainingConfig | None:
    """Return the configuration of the run to start from, as far as it is known without its weights."""
    start = values.get("start")
    if not isinstance(start, str):
        return None
    path = Path(start)
    official = OFFICIAL.get(path.stem if path.suffix == ".weights" else start)
    if official is not None:
        return TrainingConfig(network=official.network)
    if start == BUILTIN_NAME:
        return find_config(start)
    folder = path if path.is_dir() else path.parent
    is_run = (folder / CONFIG).is_file() and any((folder / name).is_file() for name in (LAST, BEST))
    return TrainingConfig.load(folder / CONFIG) if is_run else None


def _from_start(key: str, usual: object) -> Any:  # noqa: ANN401 (as Field)
    """Return a field whose default is that of the run to start from, else ``usual``."""

    def default(values: dict[str, Any]) -> object:
        known = _of_start(values)
        return usual if known is None else getattr(known, key)

    return Field(default_factory=default)


def _default_size(values: dict[str, Any]) -> tuple[int, int]:
    """Return the size of the run to start from, else the least of 416 pixels or more that the network can have."""
    network, known = values.get("network"), _of_start(values)
    if known is not None and known.network == network:
        return known.input_size
    stride = registry.largest_stride(str(network))
    side = -(-_USUAL_SIDE // stride) * stride
    return side, side


def expand_size(value: object) -> object:
    """Return ``[width, height]`` for 320 and for "416x320"; leave other values as they are."""
    if isinstance(value, str) and (sides := re.fullmatch(r"(\d+)(?:x(\d+))?", value)):
        return int(sides[1]), int(sides[2] or sides[1])
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


_Side: TypeAlias = Annotated[int, Field(ge=32)]
_Size: TypeAlias = Annotated[tuple[_Side, _Side], BeforeValidator(expand_size)]
_Anchors: TypeAlias = Literal["published", "fitted"] | tuple[tuple[float, float], ...]


class TrainingConfig(_Section):
    """A training run."""

    start: Start | None = None
    """Where the weights come from: an official model, `builtin`, a darknet file, a checkpoint, the folder of a run or
    an .onnx file, as far as it fits; null: drawn by `seed`."""
    network: str = _from_start("network", "yolov4-tiny")
    """Network, as yolov4-tiny (that of `start`, where it says so)."""
    network_options: dict[str, bool | float | str] = _from_start("network_options", {})
    """Options of the network, as width: 0.5, or channels: 1 for gray."""
    input_size: _Size = Field(default_factory=_default_size)
    """Width and height of the input in pixels, one number for both; multiples of 32 (YOLOv1: 64, so 448)."""
    resize: ResizeSpec | None = _from_start("resize", None)
    """Placement and interpolation of images; null: the network's own."""
    anchors: _Anchors = _from_start("anchors", "published")
    """The published anchors, anchors fitted to the training labels, or widths and heights in network pixels."""
    epochs: int = Field(default=100, ge=1)
    """Epochs: how often every image is seen."""
    batch_size: int = Field(default=16, ge=1)
    """Images of one optimizer step, over all mini-batches and processes."""
    accumulate: int = Field(default=1, ge=1)
    """Mini-batches of one step, for less memory."""
    seed: int = Field(default=0, ge=0)
    """Seed of the weights, of all random draws and of what is held out."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products; auto: bf16 where the processor or GPU computes in it."""
    channels_last: bool = True
    """Memory layout NHWC, which is faster."""
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    freebies: FreebiesConfig = FreebiesConfig()
    loss: LossConfig = LossConfig()
    ema: EmaConfig | None = EmaConfig()
    distill: DistillConfig | None = None
    validation: ValidationConfig = ValidationConfig()

    @classmethod
    def parse(cls, values: object, source: str = "the configuration") -> TrainingConfig:
        """Return the checked configuration; raise ConfigError naming the first wrong key.

        Former names of keys are understood.
        """
        try:
            return cls.model_validate(with_current_keys(values, source))
        except ValidationError as error:
            _, message = first_error(error)
            first = error.errors()[0]
            path = [str(part) for part in first["loc"] if part not in _START_KINDS or first["loc"][0] != "start"]
            if first["type"] == "extra_forbidden":
                message = explain_unknown_key(cls, path)
            raise ConfigError(f"{source}: {'.'.join(path) or 'the document'}: {message}") from error

    @classmethod
    def load(cls, path: Path) -> TrainingConfig:
        """Read a YAML file; an empty one means the defaults. Raise ConfigError."""
        try:
            values = load_yaml(path.read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"expected a YAML file at {path}, got: {yaml_reason(error)}") from error
        return cls.parse({} if values is None else values, str(path))

    def replace(self, **changes: object) -> TrainingConfig:
        """Return a configuration with some keys changed, checked again; what follows from them follows anew."""
        return self.parse(self.model_dump(exclude_unset=True) | changes)

    def to_yaml(self) -> str:
        """Return the whole configuration as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
