"""The command line: quick to answer, friendly to newcomers, one line per error."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from yoloscope.app import cli
from yoloscope.app.cli import COMMANDS, build
from yoloscope.models.errors import ConfigError, DownloadError, ImageTypeError, YoloscopeError
from yoloscope.training.data.datasets import open_dataset


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    for name in list(os.environ):
        if name.startswith("YOLOSCOPE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("YOLOSCOPE_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("YOLOSCOPE_PROVIDER", "cpu")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def image(tmp_path: Path, gray_png: bytes) -> Path:
    path = tmp_path / "gray.png"
    path.write_bytes(gray_png)
    return path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build(arguments), list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_of_commands_needs_no_heavy_imports() -> None:
    code = (
        "import sys; from yoloscope.app.cli import build; build(['--help']);"
        "heavy = {'torch', 'onnxruntime', 'fastapi', 'numpy', 'PIL', 'pydantic'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_address_of_a_service_of_kubernetes_is_no_port(tmp_path: Path) -> None:
    environment = {**os.environ, "YOLOSCOPE_PORT": "tcp://10.96.0.1:80", "YOLOSCOPE_MODEL": str(tmp_path / "no.onnx")}
    command = [sys.executable, "-m", "yoloscope.app.cli", "serve", "--no-supervise"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.stderr.startswith("yoloscope: expected a model file")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_listed_and_has_help(name: str) -> None:
    assert name in run("--help")
    text = run(name, "--help")
    assert "Stand in" not in text
    assert len(text.splitlines()) > 8


def test_digits_are_written_as_a_data_set(tmp_path: Path) -> None:
    line = run("digits", str(tmp_path / "digits"), "--train", "3", "--val", "2", "--side", "48")
    assert line == f"wrote {tmp_path / 'digits' / 'data.yaml'}: 3 images to train on, 2 to validate on\n"
    train, val = (open_dataset(tmp_path / "digits", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (3, 2)
    assert train.images[0].read().shape == (48, 48, 3)
    with pytest.raises(ConfigError, match="expected an empty or new folder"):
        run("digits", str(tmp_path / "digits"))


def test_the_table_of_detections(image: Path) -> None:
    lines = run("detect", str(image), "--model", "tiny").splitlines()
    assert lines[0] == f"{image} (64x48)"
    assert [line.split()[1] for line in lines if "0." in line] == ["cat", "dog", "cat"]


def test_json_for_programs(image: Path) -> None:
    document = json.loads(run("detect", str(image), str(image), "--model", "tiny", "--json", "--class", "dog"))
    assert document["model"] == "tiny"
    assert [result["file"] for result in document["results"]] == [str(image)] * 2
    (detection,) = document["results"][0]["detections"]
    assert (detection["class_name"], detection["score"]) == ("dog", 0.5)


def test_nothing_found_is_said(image: Path) -> None:
    assert "nothing found" in run("detect", str(image), "--model", "tiny", "--score-threshold", "1")


def test_annotated_images_are_written(image: Path, tmp_path: Path) -> None:
    run("detect", str(image), "--model", "tiny", "--save", str(tmp_path / "new" / "out.png"))
    with Image.open(tmp_path / "new" / "out.png") as written:
        assert written.size == (64, 48)
    other = tmp_path / "other.png"
    other.write_bytes(image.read_bytes())
    run("detect", str(image), str(other), "--model", "tiny", "--save", str(tmp_path / "folder"))
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["gray.jpg", "other.jpg"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("--model", "nope"), YoloscopeError, "yolov4-tiny"),
        (("--model", "tiny", "--save", "x.gif"), ConfigError, "--save"),
        (("--model", "tiny", "--class", "zebra"), YoloscopeError, "zebra"),
        (("--model", "tiny", "--provider", "gpu"), ConfigError, "'cuda'"),
    ],
)
def test_mistakes(image: Path, arguments: tuple[str, ...], error: type[YoloscopeError], words: str) -> None:
    with pytest.raises(error, match=words):
        run("detect", str(image), *arguments)


def test_the_faulty_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not an image")
    with pytest.raises(ImageTypeError, match=r"notes\.txt: expected one of JPEG"):
        run("detect", str(path), "--model", "tiny")


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigError("wrong"), 2), (YoloscopeError("wrong"), 1), (OSError("wrong"), 1), (DownloadError("wrong"), 4)],
)
def test_an_error_is_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    def fail(_arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli, "build", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == status
    assert capsys.readouterr().err == "yoloscope: wrong\n"


def test_a_file_in_the_place_of_a_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").touch()
    monkeypatch.setattr(cli, "build", lambda _arguments: (tmp_path / "a").mkdir(exist_ok=True))
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == f"yoloscope: {tmp_path / 'a'}: expected a folder, got a file\n"


def test_unknown_commands_and_missing_files_are_usage_errors() -> None:
    for arguments in (["bogus"], ["detect", "/nowhere.jpg"], ["detect"], ["serve", "--port", "x"]):
        assert CliRunner().invoke(build(arguments), arguments).exit_code == 2


WAITS = "import sys, time; print('here', flush=True); time.sleep(60)"
SWALLOWS = "import time\ntry:\n    print('here', flush=True); time.sleep(60)\nexcept BaseException:\n    pass\n"
OWN_COMMAND = (  # which heeds SIGINT also where it is ignored: in the background of a script
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "import sys; from yoloscope.app import cli; cli.COMMANDS['own'] = cli.Command('own_command:run', '');"
    "sys.argv = ['yoloscope', 'own']; cli.main()"
)


@pytest.mark.parametrize(
    ("module", "content", "code"),
    [
        ("own_command", WAITS, OWN_COMMAND),
        ("own_command", SWALLOWS, OWN_COMMAND),
        ("own_command", f"def run():\n    {WAITS}", OWN_COMMAND),
        ("typer", WAITS, "from yoloscope.app.cli import main; main()"),
    ],
)
def test_ctrl_c_during_imports_and_commands_is_quiet(tmp_path: Path, module: str, content: str, code: str) -> None:
    (tmp_path / f"{module}.py").write_text(content)
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1] == ""
    assert process.returncode == 130


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(tmp_path: Path, closed: str) -> None:
    """As where a daemon was started without any; no file of ours gets the number of one of them."""
    (tmp_path / "own_command.py").write_text(
        "import sys\n"
        "def run():\n"
        f"    with open({str(tmp_path / 'own.txt')!r}, 'w') as file:\n"
        "        print('words'); print('words', file=sys.stderr); sys.stdin.read(0); file.write(str(file.fileno()))\n"
    )
    code = OWN_COMMAND.replace("import signal; signal.signal(signal.SIGINT, signal.default_int_handler);", "")
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code]
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert int((tmp_path / "own.txt").read_text()) > 2
