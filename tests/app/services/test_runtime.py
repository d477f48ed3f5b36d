"""The runtime and the store: what is loaded, what is refused, what comes out."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from tests.app.artifact import BOXES, SIDE, tiny_spec, write_tiny_artifact
from yoloscope.app.services import runtime as module
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.sessions import CpuSessions, open_sessions
from yoloscope.models.errors import ModelLoadError, ModelNotFoundError, ProviderError, SpecError
from yoloscope.models.files import sha256
from yoloscope.models.zoo import BUILTIN


@pytest.fixture(scope="module")
def runtime(models_dir: Path) -> Runtime:
    return Runtime(models_dir / "tiny.onnx", "cpu", 1)


def test_thresholds_are_per_image(runtime: Runtime) -> None:
    images = np.full((2, SIDE, SIDE, 3), 51, np.uint8)
    low, high = runtime.detect(images, [0.0, 0.4], [0.5, 0.5])
    np.testing.assert_allclose(low.scores, [0.6, 0.5, 0.375, 0.125])
    np.testing.assert_allclose(high.scores, [0.6, 0.5])
    np.testing.assert_array_equal(low.boxes_xyxy, np.array(BOXES, np.float32))
    assert low.class_ids.dtype == np.int64


def test_batches_are_of_sizes_that_are_warm(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.batch_sizes(8) == (1,)
    monkeypatch.setattr(runtime, "provider", "cuda")
    assert [runtime.batch_sizes(most) for most in (1, 2, 6, 8)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8)]
    assert runtime.batch_sizes(8, least_score=0.001) == (1,)


def test_a_run_at_half_takes_the_session_of_half_the_threads(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(models_dir / "tiny.onnx", "cpu", 2)
    images, ran = np.full((1, SIDE, SIDE, 3), 51, np.uint8), list[str]()
    without = runtime.detect(images, [0.0], [0.5], half=True)
    runtime.open_half()

    def noting(name: str, session: Any) -> SimpleNamespace:
        def run(*given: object) -> object:
            ran.append(name)
            return session.run(*given)

        return SimpleNamespace(run=run)

    sessions = runtime._sessions
    assert isinstance(sessions, CpuSessions)
    assert sessions._half is not None
    assert sessions._half.get_session_options().intra_op_num_threads == 1
    monkeypatch.setattr(sessions, "_half", noting("half", sessions._half))
    monkeypatch.setattr(sessions, "session", noting("whole", sessions.session))
    for half in (True, False):
        (found,) = runtime.detect(images, [0.0], [0.5], half=half)
        np.testing.assert_array_equal(found.scores, without[0].scores)
        thresholds = np.zeros(1, np.float32)
        assert runtime.outputs(["num_detections"], images, thresholds, thresholds, half=half)["num_detections"][0] > 0
    assert ran == ["half", "half", "whole", "whole"]


class TestReplacedWhileItIsRead:
    """A file that is renamed, rewritten or switched by a link between two openings by its name."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_tiny_artifact(tmp_path / "tiny.onnx")

    def replace_by(self, other: str, path: Path) -> None:
        write_tiny_artifact(path.with_name("new"), tiny_spec(other).to_json()).replace(path)

    def test_digest_and_session_are_of_one_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        others = ["second"]

        def open_other(*arguments: Any) -> Any:
            for other in others[:]:
                others.remove(other)
                self.replace_by(other, path)
            return open_sessions(*arguments)

        monkeypatch.setattr(module, "open_sessions", open_other)
        runtime = Runtime(path, "cpu", 1)
        assert (runtime.spec.name, runtime.sha256) == ("second", sha256(path))

    def test_one_that_changes_all_the_time_is_refused(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        numbers = count()

        def open_other(*arguments: Any) -> Any:
            self.replace_by(f"model_{next(numbers)}", path)
            return open_sessions(*arguments)

        monkeypatch.setattr(module, "open_sessions", open_other)
        with pytest.raises(ModelLoadError, match="expected a model that stays as it is while it is read") as raised:
            Runtime(path, "cpu", 1)
        assert raised.value.reason == "its file changes while it is read"

    def test_both_sessions_are_of_one_file(self, path: Path) -> None:
        runtime = Runtime(path, "cpu", 2)
        self.replace_by("second", path)
        with pytest.raises(ModelLoadError, match=r"expected the model that was opened at .*, got another one"):
            runtime.open_half()
        assert isinstance(runtime._sessions, CpuSessions)
        assert runtime._sessions._half is None


def test_heads_are_returned_raw(runtime: Runtime) -> None:
    (head,) = runtime.heads(np.zeros((3, SIDE, SIDE, 3), np.uint8))
    assert head.shape == runtime.spec.head_shape(0, 3)
    assert (head == 0.25).all()


def test_images_of_another_size_are_refused(runtime: Runtime) -> None:
    with pytest.raises(SpecError, match="32, 32, 3"):
        runtime.detect(np.zeros((1, 8, 8, 3), np.uint8), [0.5], [0.5])


def test_the_spec_comes_from_the_file(runtime: Runtime) -> None:
    assert runtime.spec == tiny_spec()
    assert runtime.provider == "cpu"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="model file"):
        Runtime(tmp_path / "nothing.onnx", "cpu", 1)


@pytest.mark.parametrize("metadata", ["", "{}", '{"format_version": 99}'])
def test_a_model_with_an_unreadable_spec(tmp_path: Path, metadata: str) -> None:
    with pytest.raises(ModelLoadError, match="spec"):
        Runtime(write_tiny_artifact(tmp_path / "model.onnx", metadata), "cpu", 1)


def test_a_model_without_our_metadata_or_graph(tmp_path: Path) -> None:
    path = write_tiny_artifact(tmp_path / "model.onnx")
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(ModelLoadError, match="not an artifact"):
        Runtime(path, "cpu", 1)

    path = write_tiny_artifact(tmp_path / "model.onnx")
    model = onnx.load(path)
    del model.graph.output[-1]
    onnx.save(model, path)
    with pytest.raises(ModelLoadError, match="head_0"):
        Runtime(path, "cpu", 1)


def test_cuda_means_cuda_or_an_error(models_dir: Path) -> None:
    try:
        runtime = Runtime(models_dir / "tiny.onnx", "cuda", 1)
    except ProviderError as error:
        assert "yoloscope[cuda]" in str(error)  # noqa: PT017 (either outcome is right, depending on the machine)
    else:
        assert runtime.provider == "cuda"


@pytest.mark.gpu
@pytest.mark.parametrize("count", [0, 5, 300, 4000])
def test_cuda_gives_the_cpu_results(count: int) -> None:
    """Of a batch of one image, with few candidates and with many, by the runtime and by the graph of the file."""
    cpu = Runtime(BUILTIN, "cpu", 1)
    try:
        cuda = Runtime(BUILTIN, "cuda", 1)
    except ProviderError as error:
        pytest.skip(str(error))
    shape = (1, cpu.spec.input_height, cpu.spec.input_width, 3)
    images = np.repeat(np.random.default_rng(0).integers(0, 256, shape, np.uint8), 4, 0)
    scores = cpu.detect(images[:1], [0.0], [1.0])[0].scores
    threshold = float(scores[count - 1 : count + 1].mean()) if count else 1.0
    arguments = [threshold] * 4, [0.5] * 4
    for expected, got in zip(cpu.detect(images, *arguments), cuda.detect(images, *arguments), strict=True):
        np.testing.assert_array_equal(got.class_ids, expected.class_ids)
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-5)
    names, limits = ("num_detections", "scores"), [np.array(values, np.float32) for values in arguments]
    for name, wanted in cpu.outputs(names, images, *limits).items():
        np.testing.assert_allclose(cuda.outputs(names, images, *limits)[name], wanted, atol=1e-5)
