"""Progress: plain lines in logs, a bar on a terminal; loss, metric, tokens a second, time left."""

import io
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config.result import Evaluation
from harness.runs import progress
from harness.runs.progress import LINE_SECONDS, Progress


class Clock:
    """A time that the test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def trainer(step: int, tokens: int) -> Any:
    meter = SimpleNamespace(tokens=tokens)
    return SimpleNamespace(
        step=step,
        batches=100,
        encoder=SimpleNamespace(meter=meter),
        task=SimpleNamespace(primary_metric="accuracy"),
    )


def test_a_log_gets_a_line_every_half_minute_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, made = Clock(), trainer(40, 8000)
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO):
        display = Progress("a run", made)
        display.on_evaluation(Evaluation("selection", 40, 1.0, {"accuracy": 0.75}))
        for _ in range(60):
            clock.now += 1.0
            made.step += 1
            made.encoder.meter.tokens += 500
            display.on_batch(0.5)
        display.close()
    assert LINE_SECONDS == 30.0
    assert [record.getMessage() for record in caplog.records] == [
        "a run: resumes after batch 40 of 100",
        "a run: batch 70 of 100, loss 0.500, accuracy 0.750 on the selection rows, 500 tokens/s, 30 s left",
        "a run: batch 100 of 100, loss 0.500, accuracy 0.750 on the selection rows, 500 tokens/s, 0 s left",
    ]


def test_a_terminal_gets_a_bar_from_where_the_run_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, made = Terminal(), trainer(40, 0)
    monkeypatch.setattr(sys, "stderr", screen)
    display = Progress("a run", made)
    assert display.bar is not None and display.bar.n == 40 and display.bar.total == 100
    made.step, made.encoder.meter.tokens = 41, 500
    display.on_batch(0.5)
    assert display.bar.n == 41
    display.close()
    assert "41/100" in screen.getvalue() and "loss 0.500" in screen.getvalue()
    assert "tokens/s" in screen.getvalue()
