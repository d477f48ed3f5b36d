"""onnxruntime sessions for measuring, on the CPU."""

from __future__ import annotations

import onnx
import onnxruntime

from models.errors import ExportError


def open_session(model: onnx.ModelProto, threads: int = 0) -> onnxruntime.InferenceSession:
    """Return a session of a graph in memory whose threads sleep when idle; raise ExportError if it cannot be run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"onnxruntime cannot run the graph: {error}") from error
