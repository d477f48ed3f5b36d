"""Training configuration: every key with its default, the configurations that come along, and former names of keys.

In the YAML of a configuration no key may stand twice: of two values one would be lost without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from yoloscope.models.errors import ConfigError
from yoloscope.models.spec import ResizeSpec
from yoloscope.models.strict_model import StrictModel, first_error

_LOG = logging.getLogger(__name__)
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


def load_yaml(text: str) -> object:
    """Return the document as plain values; raise yaml.YAMLError where it is none or has a key twice.

    What a merge (``<<``) brings may still be overridden.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for mapping in _mappings(root, set()):
        seen: set[tuple[str, str]] = set()
        for key, _ in mapping.value:
            name = (key.tag, str(key.value))
            if name in seen:
                expected = f"expected every key once, got {key.value!r} twice"
                raise yaml.constructor.ConstructorError(None, None, expected, key.start_mark)
            seen.add(name)
    document: object = yaml.safe_load(text)
    return document


def _mappings(node: yaml.Node | None, visited: set[int]) -> Iterator[yaml.MappingNode]:
    """Yield every mapping under a node once, whatever refers to it."""
    if node is None or id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        children = [child for pair in node.value for child in pair]
    else:
        children = node.value if isinstance(node, yaml.SequenceNode) else []
    for child in children:
        yield from _mappings(child, visited)


Side = Annotated[int, Field(ge=32)]
"""Pixels of a side of the network input; all networks halve it five times or more."""


class DataConfig(StrictModel):
    """Which splits are used and how they are read.

    ``val`` names a split, or is a share between 0 and 1 of ``train`` that is held out by the names of the files, or
    null for training without validation.

    ``workers`` are processes that read and augment (null: one less than the processor's cores, at most 8; 0: none).
    ``cache_mb`` bounds the decoded images that each of them keeps. An image that cannot be read stops the training
    with a checkpoint, or is skipped: the next one takes its place and its name is shown. In ``val`` it stops the run
    before the first step, or is left out. ``shapes`` reads polygons, oriented boxes, masks and boxes with a score as
    the boxes that enclose them, or refuses them.
    """

    train: str | None = "train"
    val: str | float | None = "val"
    workers: int | None = Field(default=None, ge=0)
    cache_mb: int = Field(default=0, ge=0)
    on_bad_image: Literal["stop", "skip"] = "stop"
    shapes: Literal["enclose", "refuse"] = "enclose"

    @field_validator("val")
    @classmethod
    def _check_val(cls, val: str | float | None) -> str | float | None:
        if isinstance(val, float) and not 0 < val < 1:
            raise ValueError("expected the name of a split, a share between 0 and 1, or null")
        return val


class OptimizerConfig(StrictModel):
    """The optimizer; ``weight_decay`` acts on kernels alone, ``grad_clip_norm`` bounds the gradient's norm."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=0.002, gt=0)
    weight_decay: float = Field(default=0.0005, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    grad_clip_norm: float | None = Field(default=10.0, gt=0)


class ScheduleConfig(StrictModel):
    """The learning rate over the run.

    ``cosine`` anneals to ``min_lr_ratio`` of the rate, with a restart after ``cycle_epochs`` (null: none), each cycle
    ``multiplier`` times the last. ``steps`` multiplies the rate by ``gammas`` at the shares ``milestones`` of the run.
    """

    kind: Literal["cosine", "steps", "constant"] = "cosine"
    warmup_epochs: float = Field(default=1.0, ge=0)
    warmup_power: float = Field(default=1.0, gt=0)
    cycle_epochs: float | None = Field(default=None, gt=0)
    multiplier: int = Field(default=2, ge=1)
    min_lr_ratio: float = Field(default=0.01, ge=0, le=1)
    milestones: tuple[float, ...] = (0.8, 0.9)
    gammas: tuple[float, ...] = (0.1, 0.1)


class ColorConfig(StrictModel):
    """Darknet's distortion of colors: turns of hue, largest factors of saturation and exposure."""

    hue: float = 0.1
    saturation: float = 1.5
    exposure: float = 1.5


class AugmentConfig(StrictModel):
    """What happens to images; probabilities are per network input, null and 0 switch off.

    ``crop_jitter`` moves each edge by that share, ``random_scale`` zooms between two factors, ``random_shapes`` draws
    the input size between 1/f and f of the base every ``random_shapes_every`` steps (darknet: 1.4, 10). In the last
    ``close_mosaic_fraction`` of the epochs, rounded to whole ones, there is no Mosaic, CutMix or MixUp, so that
    training ends on images composed as those of inference are.
    """

    mosaic: float = Field(default=0.5, ge=0, le=1)
    cutmix: float = Field(default=0.0, ge=0, le=1)
    cutmix_alpha: float = Field(default=1.0, gt=0)
    mixup: float = Field(default=0.0, ge=0, le=1)
    mixup_alpha: float = Field(default=1.5, gt=0)
    flip_horizontal: float = Field(default=0.5, ge=0, le=1)
    flip_vertical: float = Field(default=0.0, ge=0, le=1)
    crop_jitter: float | None = Field(default=None, gt=0, lt=0.5)
    random_scale: tuple[float, float] | None = None
    color: ColorConfig | None = ColorConfig()
    random_shapes: float | None = Field(default=None, ge=1)
    random_shapes_every: int = Field(default=10, ge=1)
    close_mosaic_fraction: float = Field(default=0.0, ge=0, le=1)


class FreebiesConfig(StrictModel):
    """The other freebies; null leaves what the loss preset or the network has.

    ``label_smoothing``, ``multi_anchor`` (several anchors per object) and ``box_loss`` change a formula preset.
    ``grid_sensitivity`` false sets scale_xy of every head to 1. ``drop_block`` is the probability reached at the end of
    a linear ramp, ``self_adversarial`` the share of steps whose images are altered first, by at most
    ``self_adversarial_epsilon``.
    """

    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    multi_anchor: bool | None = None
    box_loss: str | None = None
    """A name of ``losses.terms.BOX_LOSSES``."""
    grid_sensitivity: bool = True
    drop_block: float = Field(default=0.0, ge=0, lt=1)
    cross_mini_batch_norm: bool = False
    self_adversarial: float = Field(default=0.0, ge=0, le=1)
    self_adversarial_epsilon: float = Field(default=2 / 255, gt=0, le=1)


class LossConfig(StrictModel):
    """The loss preset (null: the network's own) and the keys in which it differs."""

    preset: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)


class EmaConfig(StrictModel):
    """The moving average of the weights, which is what is validated and exported."""

    decay: float = Field(default=0.9998, ge=0, lt=1)
    warmup: float = Field(default=10.0, ge=1)


class ValidationConfig(StrictModel):
    """When AP is measured, and after how many measurements without a better one training ends (null: never)."""

    every_epochs: int = Field(default=1, ge=1)
    patience: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=1, ge=1)


class StartConfig(StrictModel):
    """Darknet weights to start from.

    ``whole``: all of the file. ``backbone``: its first layers, ``layers`` of them (null: the file ends there).
    ``other_classes``: a whole file trained for ``num_classes`` classes, of which every layer that fits is taken.
    """

    weights: Path
    part: Literal["whole", "backbone", "other_classes"] = "whole"
    layers: int | None = Field(default=None, ge=1)
    num_classes: int = Field(default=80, ge=1)


class DistillConfig(StrictModel):
    """Learning from teachers as well as from labels.

    ``teachers`` are checkpoints or folders of runs with the heads of this one, whose mean is taken, or their number: so
    many are trained first, by this configuration from its seed and those that follow, in ``teachers`` of the run's
    folder. The loss is ``share`` of what it costs to answer otherwise than they do, boxes weighing ``box_weight``, and
    for the rest that of the labels.
    """

    teachers: int | tuple[Path, ...]
    share: float = Field(default=0.5, gt=0, le=1)
    box_weight: float = Field(default=5.0, ge=0)

    @field_validator("teachers", mode="before")
    @classmethod
    def _check_teachers(cls, value: object) -> object:
        number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        paths = isinstance(value, list | tuple) and all(isinstance(one, str | Path) and str(one) for one in value)
        if not number and not (paths and value):
            raise ValueError("expected a number of at least 1, or a list of checkpoints or folders of runs")
        return value


FORMER_KEYS: Final[Mapping[str, str]] = {
    "average": "ema",
    "average.warm_up": "ema.warmup",
    "ema.warm_up": "ema.warmup",
    "bags": "freebies",
    "augment.colour": "augment.color",
    "augment.plain_share": "augment.close_mosaic_fraction",
    "data.bad_pictures": "data.on_bad_image",
    "optimizer.clip_norm": "optimizer.grad_clip_norm",
    "optimizer.rate": "optimizer.lr",
    "schedule.at": "schedule.milestones",
    "schedule.minimum_share": "schedule.min_lr_ratio",
    "schedule.scales": "schedule.gammas",
    "schedule.warm_up_epochs": "schedule.warmup_epochs",
    "schedule.warm_up_power": "schedule.warmup_power",
}
"""Keys that configurations, checkpoints and search spaces were written with, and what they are called now."""


def current_key(key: str) -> str:
    """Return what a dotted key is called now: ``bags.drop_block`` is ``freebies.drop_block``."""
    if key in FORMER_KEYS:
        return FORMER_KEYS[key]
    section, dot, rest = key.partition(".")
    return f"{FORMER_KEYS.get(section, section)}{dot}{rest}"


def with_current_keys(values: object, source: str) -> object:
    """Return a configuration document with former names of keys replaced; each is logged once.

    Raises ConfigError where a key stands there under both names.
    """
    if not isinstance(values, Mapping):
        return values
    renamed: dict[object, object] = {}
    for key, value in values.items():
        inner = {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, Mapping) else None
        name = _take_current(str(key), renamed, source) if isinstance(key, str) else key
        if inner is None or not isinstance(name, str):
            renamed[name] = value
            continue
        section: dict[object, object] = {}
        for dotted, one in inner.items():
            section[_take_current(dotted, section, source).partition(".")[2]] = one
        renamed[name] = section
    return renamed


def _take_current(key: str, taken: Mapping[object, object], source: str) -> str:
    name = current_key(key)
    if name in taken or name.partition(".")[2] in taken:
        raise ConfigError(f"{source}: expected {name} under one name, got it as {key} too")
    if key in FORMER_KEYS:
        _log_renamed(key)
    return name


@cache
def _log_renamed(key: str) -> None:
    _LOG.warning("the configuration key %s is called %s now", key, FORMER_KEYS[key])


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys of the section at a path of field names."""
    for part in path:
        annotation = model.model_fields[part].annotation
        kinds = (annotation, *get_args(annotation))
        model = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return sorted(model.model_fields)


class TrainingConfig(StrictModel):
    """A training run.

    ``input_size`` is (width, height) in pixels. ``batch_size`` counts the images of one optimizer step over all
    ``accumulate`` mini-batches and all processes. ``anchors``: the published ones, fitted to the training labels, or
    given as (width, height) in network pixels. ``precision`` auto is bf16 where the processor or GPU computes in it.
    """

    network: str = "yolov4-tiny"
    network_options: dict[str, bool | float | str] = Field(default_factory=dict)
    input_size: tuple[Side, Side] = (416, 416)
    resize: ResizeSpec | None = None
    anchors: Literal["published", "fitted"] | tuple[tuple[float, float], ...] = "published"
    start: StartConfig | None = None
    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
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
            where, message = first_error(error)
            first = error.errors()[0]
            if first["type"] == "extra_forbidden":
                known = ", ".join(_known_keys(cls, [str(part) for part in first["loc"][:-1]]))
                message = f"expected one of the keys {known}"
            raise ConfigError(f"{source}: {where or 'the document'}: {message}") from error

    @classmethod
    def load(cls, path: Path) -> TrainingConfig:
        """Read a YAML file; an empty one means the defaults. Raise ConfigError."""
        try:
            values = load_yaml(path.read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"expected a YAML file at {path}, got: {error}") from error
        return cls.parse({} if values is None else values, str(path))

    def replace(self, **changes: object) -> TrainingConfig:
        """Return a configuration with some keys changed, checked again."""
        return self.parse(self.model_dump() | changes)

    def to_yaml(self) -> str:
        """Return the whole configuration as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
