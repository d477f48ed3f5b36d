"""The self-description of a detector, stored as JSON inside its ONNX file under ``metadata_props["yoloscope"]``."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from yoloscope.models.errors import SpecError
from yoloscope.models.layout import DetectionLayout
from yoloscope.models.strict_model import StrictModel, first_error

METADATA_KEY = "yoloscope"
RGB_CHANNELS = 3


class ResizeSpec(StrictModel):
    """Placement of an image on the network input.

    ``stretch`` scales both sides independently; ``letterbox`` keeps the aspect and pads with ``pad_value`` (0..255).
    ``corner_aligned`` is darknet's resize_image: bilinear, corners aligned, no antialiasing (darknet src/image.c);
    ``antialiased`` is Pillow's BILINEAR.
    """

    placement: Literal["stretch", "letterbox"] = "stretch"
    interpolation: Literal["corner_aligned", "antialiased"] = "corner_aligned"
    pad_value: float = Field(default=127.5, ge=0, le=255)


class HeadSpec(StrictModel):
    """One raw output tensor of the network and how it is decoded.

    ``kind``: ``yolo`` (v3, v4; independent sigmoid classes), ``gaussian_yolo`` (a sigma beside each box entry),
    ``region`` (v2; softmax classes), ``detection`` (v1, flat). ``anchor_indices`` point into
    ``DetectorSpec.anchors_px``. ``activation`` is what the head tensor still needs: ``sigmoid``, or ``none`` where
    a new_coords network ends in a layer that is not logistic.
    """

    kind: Literal["yolo", "gaussian_yolo", "region", "detection"]
    grid_width: int = Field(gt=0)
    grid_height: int = Field(gt=0)
    anchor_indices: tuple[int, ...] = ()
    scale_xy: float = Field(default=1.0, gt=0)
    new_coords: bool = False
    activation: Literal["sigmoid", "none"] = "sigmoid"
    class_activation: Literal["sigmoid", "softmax", "tree", "none"] = "sigmoid"
    boxes_per_cell: int = Field(default=0, ge=0)
    sqrt_wh: bool = False

    @property
    def num_anchors(self) -> int:
        """Predictors per grid cell."""
        return self.boxes_per_cell if self.kind == "detection" else len(self.anchor_indices)

    def num_channels(self, num_classes: int) -> int:
        """Return the channels of the head tensor, or its whole length for a ``detection`` head."""
        if self.kind == "detection":
            return self.detection_layout(num_classes).size
        return self.num_anchors * ((9 if self.kind == "gaussian_yolo" else 5) + num_classes)

    def detection_layout(self, num_classes: int) -> DetectionLayout:
        """Return the offsets inside a flat YOLOv1 head."""
        return DetectionLayout(self.grid_width * self.grid_height, self.boxes_per_cell, num_classes)


class NmsSpec(StrictModel):
    """Suppression settings; ``beta`` is the exponent of the DIoU distance term, null for plain IoU.

    ``max_candidates`` bounds memory: only that many highest scores per batch enter suppression, which leaves the
    result an exact prefix of the unbounded one.
    """

    beta: float | None = Field(default=0.6, gt=0)
    iou_threshold: float = Field(default=0.45, ge=0, le=1)
    score_threshold: float = Field(default=0.25, ge=0, le=1)
    max_candidates: int = Field(default=30_000, gt=0)


class LossSpec(StrictModel):
    """The loss the model was trained with: a preset's name and the keys that differ from it."""

    preset: str
    overrides: dict[str, Any] = Field(default_factory=dict)


class SourceSpec(StrictModel):
    """Origin of the weights."""

    kind: Literal["darknet", "training", "random"]
    file: str | None = None
    sha256: str | None = None
    images_seen: int | None = None
    notices: tuple[str, ...] = ()


class ClassTree(StrictModel):
    """A hierarchy of classes (YOLO9000): the parent of each class (-1 at the root) and the size of each softmax group.

    ``reported`` are the tree nodes that take part in detections, in the order of ``DetectorSpec.class_names``; empty
    where the whole tree is reported.
    """

    parents: tuple[int, ...]
    group_sizes: tuple[int, ...]
    reported: tuple[int, ...] = ()


class PrecisionSpec(StrictModel):
    """Origin of a file in another precision, made from one in float32.

    ``made_from`` is the sha256 of that file. Of int8: the calibration images, how ranges were chosen from them, the
    layers that stayed in float and the error of the detections that remained on the calibration images.
    """

    kind: Literal["fp16", "int8"]
    made_from: str
    calibration_data: str | None = None
    calibration_images: int | None = Field(default=None, gt=0)
    ranges: str | None = None
    float_layers: tuple[str, ...] = ()
    detection_error: float | None = None


class DetectorSpec(StrictModel):
    """Description of a detector for services, losses and evaluations.

    Anchors are (width, height) in network pixels. ``input_channels`` are those of the network's first layer: 3 is RGB,
    1 is gray (images are RGB all the same and made gray inside the artifact), any other number planes of images.
    """

    format_version: Literal[1] = 1
    name: str
    family: Literal["v1", "v2", "v3", "v4"]
    class_names: tuple[str, ...] = Field(min_length=1)
    input_width: int = Field(gt=0)
    input_height: int = Field(gt=0)
    input_channels: int = Field(default=3, gt=0)
    anchors_px: tuple[tuple[float, float], ...] = ()
    heads: tuple[HeadSpec, ...] = Field(min_length=1)
    resize: ResizeSpec = ResizeSpec()
    nms: NmsSpec = NmsSpec()
    loss: LossSpec
    class_tree: ClassTree | None = None
    source: SourceSpec | None = None
    training: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    precision: PrecisionSpec | None = None

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        for index, head in enumerate(self.heads):
            if head.kind == "detection":
                if not head.boxes_per_cell:
                    raise ValueError(f"heads[{index}]: a detection head needs boxes_per_cell > 0, got 0")
            elif not head.anchor_indices:
                raise ValueError(f"heads[{index}]: a {head.kind} head needs anchors, got none")
            if any(not 0 <= a < len(self.anchors_px) for a in head.anchor_indices):
                raise ValueError(
                    f"heads[{index}]: anchor indices must lie in 0..{len(self.anchors_px) - 1}, "
                    f"got {head.anchor_indices}"
                )
        return self

    @property
    def image_planes(self) -> int:
        """Planes of the images that the artifact takes: 3 (RGB) also for a gray network."""
        return RGB_CHANNELS if self.input_channels == 1 else self.input_channels

    @property
    def num_classes(self) -> int:
        """Class entries per predictor in the head tensors."""
        return len(self.class_tree.parents) if self.class_tree else len(self.class_names)

    def head_anchors_px(self, index: int) -> tuple[tuple[float, float], ...]:
        """Return the anchors of one head as (width, height) in network pixels."""
        return tuple(self.anchors_px[a] for a in self.heads[index].anchor_indices)

    def head_stride(self, index: int) -> tuple[float, float]:
        """Return network pixels per grid cell of one head, as (x, y)."""
        head = self.heads[index]
        return self.input_width / head.grid_width, self.input_height / head.grid_height

    def head_shape(self, index: int, batch_size: int) -> tuple[int, ...]:
        """Return the shape of one raw head tensor."""
        head = self.heads[index]
        channels = head.num_channels(self.num_classes)
        if head.kind == "detection":
            return (batch_size, channels)
        return (batch_size, channels, head.grid_height, head.grid_width)

    def to_json(self) -> str:
        """Return the JSON of the artifact, without ``precision`` where float32 and ``input_channels`` where 3.

        So a file that needs neither is still read by versions that know neither.
        """
        usual = {"precision": self.precision is None, "input_channels": self.input_channels == RGB_CHANNELS}
        return self.model_dump_json(exclude={field for field, left_out in usual.items() if left_out})

    @classmethod
    def from_json(cls, text: str) -> DetectorSpec:
        """Parse the JSON text of an artifact; raise SpecError naming the first wrong field."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            where, message = first_error(error)
            raise SpecError(f"detector spec: {where or 'the document'}: {message}") from error
