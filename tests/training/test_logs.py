"""Lines of a training run in Python's logging: where they go, a teacher's prefix, silence, and a bar on stderr."""

import io
import logging

import pytest

from tests.training.runs import log_lines
from yoloscope.training.logs import LOGGER, log_prefix, log_to_stderr, no_log


class TestWhereLinesGo:
    def test_they_reach_the_handlers_of_the_program(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            LOGGER.info("epoch %d/%d", 1, 3)
            LOGGER.warning("skipped: a.jpg")
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("INFO", "epoch 1/3"),
            ("WARNING", "skipped: a.jpg"),
        ]

    def test_on_stderr_they_are_bare_and_stand_once(
        self, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        with log_to_stderr():
            LOGGER.info("epoch 1/3")
            LOGGER.getChild("search").info("trial 1/2")
        assert capsys.readouterr() == ("", "epoch 1/3\ntrial 1/2\n")
        assert caplog.records == []

    def test_stderr_is_what_it_is_when_the_line_comes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A progress bar puts itself in its place."""
        with log_to_stderr():
            bar = io.StringIO()
            monkeypatch.setattr("sys.stderr", bar)
            LOGGER.info("epoch 1/3")
        assert bar.getvalue() == "epoch 1/3\n"

    def test_afterwards_the_logger_is_as_before(self, capsys: pytest.CaptureFixture[str]) -> None:
        before = (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers), list(LOGGER.filters))
        with pytest.raises(RuntimeError), log_to_stderr(), log_prefix("x"), no_log():
            raise RuntimeError
        assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers), list(LOGGER.filters)) == before
        LOGGER.info("epoch 1/3")
        assert capsys.readouterr().err == ""


class TestPrefixAndSilence:
    def test_a_prefix_stands_before_the_lines_of_its_block(self) -> None:
        with log_lines() as lines:
            with log_prefix("teacher 1/2: "):
                LOGGER.info("epoch %d/2", 1)
            LOGGER.info("epoch 1/2")
        assert lines == ["teacher 1/2: epoch 1/2", "epoch 1/2"]

    def test_a_search_is_heard_while_its_runs_are_silent(self) -> None:
        with log_lines() as lines, no_log():
            LOGGER.info("epoch 1/3")
            LOGGER.getChild("search").info("trial 1: epoch 1  AP 0.500")
        assert lines == ["trial 1: epoch 1  AP 0.500"]
