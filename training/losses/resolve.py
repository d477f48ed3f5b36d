"""From what a caller says to the preset that is computed."""

from __future__ import annotations

from models.errors import PresetError
from models.spec import DetectorSpec
from training.losses.darknet_keys import translate
from training.losses.darknet_rules import DarknetPreset
from training.losses.preset import Preset
from training.losses.presets import PRESETS, AnyPreset

_KINDS_OF_MATCH = {"cell_best_iou": {"detection"}}
_ANCHOR_KINDS = {"yolo", "region"}


def resolve_preset(preset: str | AnyPreset | None, spec: DetectorSpec) -> AnyPreset:
    """Return the preset to compute for a detector; raise PresetError if there is none or it does not fit its heads.

    None stands for the spec's own preset. The spec's overrides apply where the name is the spec's own.
    """
    if preset is None:
        preset = spec.loss.preset
    if isinstance(preset, str):
        preset = _named(preset, spec)
    _require_fit(preset, spec)
    return preset


def _named(name: str, spec: DetectorSpec) -> AnyPreset:
    if name not in PRESETS:
        raise PresetError(f"unknown loss preset {name!r}; known presets: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if name != spec.loss.preset or not spec.loss.overrides:
        return preset
    if isinstance(preset, DarknetPreset):
        return preset.replace(**translate(preset.kind, spec.loss.overrides))
    return preset.replace(**spec.loss.overrides)


def _require_fit(preset: AnyPreset, spec: DetectorSpec) -> None:
    kinds = {head.kind for head in spec.heads}
    if "gaussian_yolo" in kinds:
        raise PresetError("gaussian_yolo heads have no loss preset: their boxes carry an uncertainty that none defines")
    if spec.class_tree is not None or any(head.class_activation == "tree" for head in spec.heads):
        raise PresetError("a detector with hierarchical classes has no loss preset")
    allowed = _allowed_kinds(preset)
    if not kinds <= allowed:
        raise PresetError(f"preset {preset.name!r} needs {' or '.join(sorted(allowed))} heads, got {sorted(kinds)}")
    if isinstance(preset, Preset) and preset.class_weights and len(preset.class_weights) != spec.num_classes:
        raise PresetError(
            f"preset key 'class_weights': expected {spec.num_classes}, one per class, got {len(preset.class_weights)}"
        )
    activated = [i for i, head in enumerate(spec.heads) if head.kind == "yolo" and head.activation == "none"]
    if activated and isinstance(preset, Preset):
        raise PresetError(f"preset {preset.name!r} needs logits, but head {activated[0]} ends without a logistic")


def _allowed_kinds(preset: AnyPreset) -> set[str]:
    if isinstance(preset, DarknetPreset):
        return {preset.kind}
    if isinstance(preset, Preset):
        return _KINDS_OF_MATCH.get(preset.match, _ANCHOR_KINDS)
    return {"detection"}
