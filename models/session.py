"""onnxruntime sessions: the one place where a graph is opened, and the input for levels between the whole ones.

An artifact adds ``images_256ths`` (zero by default) to its images. In the file that is a constant, which every runtime
opens without a word; ``open_session`` appends it to the inputs of the graph, so that it can be fed. Files of before
have an optional input ``images_fraction`` instead, of which onnxruntime warns at every load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from yoloscope.models.errors import ModelLoadError

Provider: TypeAlias = str | tuple[str, dict[str, Any]]

FRACTION: Final = "images_256ths"
FRACTION_STEPS: Final = 256
OLD_FRACTION: Final = "images_fraction"
CPU: Final = ("CPUExecutionProvider",)
CUDA: Final = "CUDAExecutionProvider"
GRAPH_VERSION: Final = 3
"""``model_version`` of the artifacts of today; from 3 on suppression is faster, with the same results."""
CUDA_GRAPH_VERSION: Final = 2
"""The first ``model_version`` that CUDA can run; files of before have none."""
_ARENAS: Final = {"cuda": "gpu:0", "cpu": "cpu:0"}


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field of a protocol buffer, shorter than 128 bytes."""
    return bytes((number << 3 | 2, len(content))) + content


_AXES = b"".join(_field(1, _field(2, f"fraction_{axis}".encode())) for axis in "bhwc")
_TENSOR_TYPE = bytes((1 << 3, 2)) + _field(2, _AXES)
FRACTION_INPUT: Final = _field(7, _field(11, _field(1, FRACTION.encode()) + _field(2, _field(1, _TENSOR_TYPE))))
"""A ModelProto whose graph has nothing but the input ``images_256ths``, uint8 of any shape.

Protocol buffers merge where they are concatenated: behind the bytes of an artifact it is one more input.
"""


def open_session(
    model: Path | bytes, providers: Sequence[Provider] = CPU, threads: int = 0
) -> onnxruntime.InferenceSession:
    """Return a session of a file or of a graph's bytes; ``threads`` 0 is one per core, and idle ones sleep.

    Spinning threads would take the CPUs from the decoding of images. Raises ModelLoadError where onnxruntime cannot
    open it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
    options.use_deterministic_compute = CUDA in names  # or its TopK takes equal scores in any order
    try:
        session = onnxruntime.InferenceSession(_with_fraction_input(model), options, providers=list(providers))
    except Exception as error:
        name = f"at {model}, got a file" if isinstance(model, Path) else "graph, got one"
        raise ModelLoadError(
            f"expected an ONNX model {name} that cannot be loaded: {error}", "its file is not an ONNX model"
        ) from error
    session.disable_fallback()
    vars(session)["_model_bytes"] = b""  # or Python keeps the file, to open it anew on a fallback that nobody wants
    return session


def run_bound(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
    feeds: Mapping[str, NDArray[Any]],
    device: Literal["cuda", "cpu"],
    *,
    shrink_arena: bool = False,
) -> list[NDArray[Any]]:
    """Run a session by IOBinding: inputs are put on the device, and only the outputs that are named leave it.

    ``shrink_arena`` gives blocks of the memory arena that are free afterwards back to the device.
    """
    options = onnxruntime.RunOptions()
    if shrink_arena:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", _ARENAS[device])
    binding = session.io_binding()
    for name, value in feeds.items():
        on_device = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), device, 0)
        binding.bind_ortvalue_input(name, on_device)
    for name in outputs:
        binding.bind_output(name, "cpu")
    session.run_with_iobinding(binding, options)
    results: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
    return results


def fraction_input(session: onnxruntime.InferenceSession) -> str | None:
    """Return the name under which a session takes 256ths of a level, if it does."""
    names = {value.name for value in session.get_overridable_initializers()}
    return next((name for name in (FRACTION, OLD_FRACTION) if name in names), None)


def _with_fraction_input(model: Path | bytes) -> str | bytes:
    content = model.read_bytes() if isinstance(model, Path) else model
    if FRACTION.encode() in content and FRACTION_INPUT not in content:
        return content + FRACTION_INPUT
    return str(model) if isinstance(model, Path) else content
