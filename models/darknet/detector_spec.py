"""The DetectorSpec of a cfg, from the sections of its heads; YOLO9000's class tree (darknet src/tree.c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from yoloscope.models.darknet.keys import loss_by_head
from yoloscope.models.darknet.layer_plan import Context, HeadPlan
from yoloscope.models.errors import CfgError, ConfigError
from yoloscope.models.spec import ClassTree, DetectorSpec, HeadSpec, LossSpec, NmsSpec, ResizeSpec, SourceSpec

Family = Literal["v1", "v2", "v3", "v4"]


@dataclass(frozen=True)
class _Classes:
    names: tuple[str, ...]
    tree: ClassTree | None


def derive_spec(
    name: str, plans: Sequence[HeadPlan], context: Context, class_names: Sequence[str] | None, *, letterbox: bool
) -> DetectorSpec:
    """Return the spec of a network with these heads; notices go to ``context``.

    Anchors become network pixels: those of region heads are given in cells and multiplied by the stride.
    """
    anchors: list[tuple[float, float]] = []
    heads = tuple(_head(plan, _place_anchors(plan, context, anchors)) for plan in plans)
    classes = _classes(plans, context, class_names)
    family = _family(plans)
    nms = _nms(plans[-1], context)
    loss = LossSpec(preset=f"{family}-darknet", overrides=loss_by_head(plans))
    return DetectorSpec(
        name=name,
        family=family,
        class_names=classes.names,
        input_width=context.image.width,
        input_height=context.image.height,
        input_channels=context.image.channels,
        anchors_px=tuple(anchors),
        heads=heads,
        resize=ResizeSpec(placement="letterbox" if letterbox else "stretch"),
        nms=nms,
        loss=loss,
        class_tree=classes.tree,
        source=SourceSpec(kind="darknet", notices=tuple(context.notices)),
    )


def _place_anchors(plan: HeadPlan, context: Context, anchors: list[tuple[float, float]]) -> int:
    """Add the head's anchors in pixels unless they are there already; return the index of its first."""
    scale_x = context.image.width / plan.shape.width if plan.kind == "region" else 1.0
    scale_y = context.image.height / plan.shape.height if plan.kind == "region" else 1.0
    own = [(width * scale_x, height * scale_y) for width, height in plan.anchors]
    for start in range(len(anchors) - len(own) + 1):
        if anchors[start : start + len(own)] == own:
            return start
    anchors.extend(own)
    return len(anchors) - len(own)


def _head(plan: HeadPlan, first_anchor: int) -> HeadSpec:
    flat = plan.kind == "detection"
    return HeadSpec(
        kind=plan.kind,
        grid_width=plan.side if flat else plan.shape.width,
        grid_height=plan.side if flat else plan.shape.height,
        anchor_indices=tuple(first_anchor + index for index in plan.mask),
        scale_xy=plan.scale_xy,
        new_coords=plan.new_coords,
        activation="sigmoid" if plan.needs_sigmoid else "none",
        class_activation=plan.class_activation,
        boxes_per_cell=plan.boxes_per_cell,
        sqrt_wh=plan.sqrt_wh,
    )


def _family(plans: Sequence[HeadPlan]) -> Family:
    last = plans[-1]
    if last.kind == "detection":
        return "v1"
    if last.kind == "region":
        return "v2"
    if last.kind == "gaussian_yolo":
        return "v3"
    modern = any(plan.new_coords or plan.scale_xy != 1 or plan.loss.get("iou_loss", "mse") != "mse" for plan in plans)
    return "v4" if modern else "v3"


def _nms(last: HeadPlan, context: Context) -> NmsSpec:
    """Return the suppression that darknet's detector takes from the last head."""
    if last.nms_kind == "default":
        return NmsSpec(beta=None)
    if last.nms_kind == "diounms":
        return NmsSpec(beta=last.beta_nms)
    context.notices.append(
        f"cfg line {last.line}: nms_kind=greedynms is DIoU-NMS with beta 0.6, whatever its name and beta_nms say"
    )
    return NmsSpec(beta=0.6)


def _classes(plans: Sequence[HeadPlan], context: Context, class_names: Sequence[str] | None) -> _Classes:
    counts = {plan.num_classes for plan in plans}
    if len(counts) > 1:
        listed = ", ".join(f"{plan.num_classes} (line {plan.line})" for plan in plans)
        raise CfgError(f"expected the same classes= in every head, got {listed}")
    count = counts.pop()
    plan = next((plan for plan in plans if plan.tree_file), None)
    if plan is not None:
        return _tree_classes(plan, context, class_names)
    return _Classes(_names(class_names, count, context), None)


def _names(class_names: Sequence[str] | None, count: int, context: Context) -> tuple[str, ...]:
    if class_names is None:
        several = f"the {count} classes are called class_0 to class_{count - 1}"
        context.notices.append(f"no class names given: {'the class is called class_0' if count == 1 else several}")
        return tuple(f"class_{index}" for index in range(count))
    if len(class_names) != count:
        raise ConfigError(f"expected {count} class names as the cfg says, got {len(class_names)}")
    return tuple(class_names)


def _tree_classes(plan: HeadPlan, context: Context, class_names: Sequence[str] | None) -> _Classes:
    tree_file = plan.tree_file or ""
    path = find_data_file(context.folder, tree_file)
    if path is None:
        absent = f"cfg line {plan.line}: [region] tree={tree_file} was not found beside the cfg or above it"
        context.notices.append(f"{absent}: the heads can be computed but not decoded")
        context.missing.append(f"{absent}: put the file there")
        return _Classes(_names(class_names, plan.num_classes, context), None)
    named = read_tree(path, plan.num_classes)
    reported = _reported(plan, context, class_names)
    if reported:
        tree = named.tree.model_copy(update={"reported": reported})
        return _Classes(tuple(class_names or ()), tree)
    names = named.names if class_names is None else _names(class_names, plan.num_classes, context)
    return _Classes(names, named.tree)


def _reported(plan: HeadPlan, context: Context, class_names: Sequence[str] | None) -> tuple[int, ...]:
    """Return the mapped tree nodes where the class names are those of the map."""
    if class_names is None or len(class_names) == plan.num_classes or not plan.map_file:
        return ()
    path = find_data_file(context.folder, plan.map_file)
    if path is None:
        raise ConfigError(
            f"expected {plan.num_classes} class names, or those of map={plan.map_file}, which was not found; "
            f"got {len(class_names)}"
        )
    nodes = read_map(path, plan.num_classes)
    if len(nodes) != len(class_names):
        raise ConfigError(f"expected {plan.num_classes} or {len(nodes)} class names, got {len(class_names)}")
    return nodes


@dataclass(frozen=True)
class NamedTree:
    """A class tree and the name of every node."""

    tree: ClassTree
    names: tuple[str, ...]


def find_data_file(folder: Path | None, name: str) -> Path | None:
    """Return the file that a cfg names, looked for beside the cfg and in the folders above it."""
    if folder is None:
        return None
    folder = folder.resolve()
    for base in (folder, *folder.parents):
        for candidate in (base / name, base / Path(name).name):
            if candidate.is_file():
                return candidate
    return None


def read_tree(path: Path, num_classes: int) -> NamedTree:
    """Read lines of ``name parent``; runs of one parent form a softmax group.

    Raises CfgError where a line is malformed, a parent comes after its child, or the count is not ``num_classes``.
    """
    names: list[str] = []
    parents: list[int] = []
    for line, text in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        if not text.strip():
            continue
        name, parent = _node(path, line, text)
        if not -1 <= parent < len(names):
            raise CfgError(f"{path.name} line {line}: expected a parent from -1 to {len(names) - 1}, got {parent}")
        names.append(name)
        parents.append(parent)
    if len(names) != num_classes:
        raise CfgError(f"{path.name}: expected {num_classes} classes as the cfg says, got {len(names)}")
    sizes = tuple(len(list(run)) for _, run in groupby(parents))
    return NamedTree(ClassTree(parents=tuple(parents), group_sizes=sizes), tuple(names))


def _node(path: Path, line: int, text: str) -> tuple[str, int]:
    fields = text.split()
    try:
        return fields[0], int(fields[1]) if len(fields) > 1 else -1
    except ValueError as error:
        raise CfgError(f"{path.name} line {line}: expected a name and a parent's number, got {text!r}") from error


def read_map(path: Path, num_classes: int) -> tuple[int, ...]:
    """Read one tree node per line: the nodes that stand for the classes of another data set."""
    try:
        nodes = tuple(int(text) for text in path.read_text("utf-8").split())
    except ValueError as error:
        raise CfgError(f"{path.name}: expected one whole number per line, got {error}") from error
    if any(not 0 <= node < num_classes for node in nodes):
        raise CfgError(f"{path.name}: expected nodes from 0 to {num_classes - 1}, got {min(nodes)}..{max(nodes)}")
    return nodes
