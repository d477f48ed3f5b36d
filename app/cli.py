"""The command ``yoloscope``.

Commands live in modules of their own that are imported only when called, so that the list of commands shows at once.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

_INTERRUPTED: Final = 128 + signal.SIGINT
UNREACHABLE: Final = 4
"""Exit status where a download failed."""


@contextmanager
def _quiet_interrupt() -> Iterator[None]:
    """End the process without a traceback on Ctrl-C in a with block of imports, which may swallow an exception."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED)


with _quiet_interrupt():
    import typer

    import yoloscope
    from yoloscope.app.process import ask_for_large_pages, replace_closed_streams
    from yoloscope.app.service_links import drop_service_links
    from yoloscope.app.supervisor import supervise
    from yoloscope.models.errors import ConfigError, DownloadError, OutputError, YoloscopeError


_EXTRAS: Final = {
    "lightning": ("training needs lightning and tensorboard", "train"),
    "aiohttp": ("bench needs aiohttp", "bench"),
}
"""Packages that a command may lack: who needs them, and the extra that brings them."""


@dataclass(frozen=True)
class Command:
    """One subcommand: ``module:function`` or ``module:group``, and its line in the list of commands."""

    target: str
    summary: str

    def load(self) -> Callable[..., None] | typer.Typer:
        """Import and return the function, or the group of commands below this one.

        Raises ConfigError where it needs an extra that is absent.
        """
        module, _, function = self.target.partition(":")
        try:
            with _quiet_interrupt():
                loaded: Callable[..., None] | typer.Typer = getattr(import_module(module), function)
        except ModuleNotFoundError as error:
            needed = _EXTRAS.get((error.name or "").partition(".")[0])
            if needed is None:
                raise
            raise ConfigError(f"{needed[0]}: make install, or pip install 'yoloscope[{needed[1]}]'") from error
        return loaded


COMMANDS: Final = {
    "serve": Command("yoloscope.app.commands.serve:serve", "Start the REST service."),
    "detect": Command("yoloscope.app.commands.detect:detect", "Detect objects in images, without a server."),
    "score": Command("yoloscope.app.commands.score:score", "Split the loss of labels by term, scale and object."),
    "audit": Command("yoloscope.app.commands.audit:group", "Find the labels of a data set that are probably wrong."),
    "bench": Command("yoloscope.app.commands.bench:bench", "Measure a running service under load."),
    "explain": Command("yoloscope.app.commands.explain:explain", "Explain the YOLO losses by worked numbers."),
    "evaluate": Command(
        "yoloscope.app.commands.evaluate:evaluate", "Measure a model on labeled images: AP, errors, speed."
    ),
    "train": Command(
        "yoloscope.app.commands.train:train", "Train a detector on your own images; ends in one ONNX file."
    ),
    "search": Command(
        "yoloscope.app.commands.search:search", "Search for better hyper-parameters, by many short trainings."
    ),
    "anchors": Command(
        "yoloscope.app.commands.anchors:anchors", "Fit a network's anchors to the objects of a data set."
    ),
    "digits": Command("yoloscope.app.commands.digits:digits", "Generate a labeled data set to try things on."),
    "export": Command(
        "yoloscope.app.commands.export:export", "Write a model in full, half or 8-bit precision, and compare."
    ),
    "quantize": Command(
        "yoloscope.app.commands.quantize:quantize", "Make faster variants of a model for this CPU, and measure them."
    ),
    "models": Command("yoloscope.app.commands.models:models", "List the models that are there or can be pulled."),
    "pull": Command("yoloscope.app.commands.pull:pull", "Fetch an official model and convert it."),
    "import-darknet": Command(
        "yoloscope.app.commands.import_darknet:import_darknet", "Convert darknet's cfg and weights."
    ),
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the application for these arguments: the command they name is loaded, the others are only listed."""
    application = typer.Typer(
        name="yoloscope",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_root)
    words = [*arguments, *os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]]
    wanted = next((word for word in words if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        loaded = command.load() if name == wanted else _listed_only
        if isinstance(loaded, typer.Typer):
            application.add_typer(loaded, name=name, short_help=command.summary)
        else:
            application.command(name, short_help=command.summary)(loaded)
    return application


def main() -> None:
    """Run the command line; an error of ours, or of the file system, is one line and exit status 1.

    The status is 2 for settings and arguments, 4 where a download failed, 130 after Ctrl-C, which
    leaves no traceback.
    """
    replace_closed_streams()
    arguments = sys.argv[1:]
    drop_service_links(os.environ)
    if arguments[:1] == ["serve"]:
        ask_for_large_pages(os.environ)
    status = supervise(arguments, os.environ)
    if status is not None:
        sys.exit(status)
    _show_every_name()
    try:
        try:
            build(arguments)(arguments, prog_name="yoloscope")
        finally:
            _flush_output()
    except (YoloscopeError, OSError) as error:
        typer.echo(f"yoloscope: {_words(error)}", err=True)
        sys.exit(_status(error))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _show_every_name() -> None:
    """Have standard output take file names in another encoding than its own, as escapes."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _status(error: Exception) -> int:
    return 2 if isinstance(error, ConfigError) else UNREACHABLE if isinstance(error, DownloadError) else 1


def _words(error: Exception) -> str:
    """Return a message; a full disk without a file is standard output's: every other is named by what writes it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is not None:
        if isinstance(error, FileExistsError) and Path(error.filename).is_file():
            return f"{error.filename}: expected a folder, got a file"
        return f"{error.filename}: {error.strerror}"
    return "cannot write to standard output: no space left" if error.errno == errno.ENOSPC else error.strerror


def _flush_output() -> None:
    """Write out what is left; raise OutputError where standard output takes no more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {error.strerror or error}") from error


def _show_version(value: bool | None) -> None:  # noqa: FBT001 (typer calls it with the flag's value)
    if value:
        typer.echo(f"yoloscope {yoloscope.__version__}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool | None, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = None,
) -> None:
    """Serve YOLO detectors, and find out why a model or a label is wrong.

    Start with: yoloscope serve. Settings are the environment variables YOLOSCOPE_MODEL, YOLOSCOPE_MODELS_DIR, ...;
    each command's --help names those it uses.
    """


def _listed_only() -> None:
    """Stand in for a command that is listed but not called."""


if __name__ == "__main__":
    main()
