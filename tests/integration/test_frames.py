"""The path from the command line to the first batch is short."""

import inspect
from pathlib import Path

import pytest

from harness.cli import main
from harness.util.paths import ROOT
from mat.game import Mat

OURS = (ROOT / "workflow" / "harness", ROOT / "mat", ROOT / "baselines")


def test_seven_frames_lead_from_the_command_line_to_the_first_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[str] = []
    step = Mat.step

    def recorded(self: Mat, *args: object) -> object:
        if not frames:
            calls = [call for call in inspect.stack()[1:] if Path(call.filename).is_relative_to(ROOT)]
            frames.extend(
                call.function for call in calls if any(map(Path(call.filename).is_relative_to, OURS))
            )
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Mat, "step", recorded)
    settings = [
        f"--set={pair}" for pair in ("epochs=1", "train_rows=16", "selection_rows=16", "max_length=16")
    ]
    run = ["--task", "rotten_tomatoes", "--model", "tiny", "--method", "mat", "--seed", "1"]
    assert main(["run", *run, *settings, "--out", str(tmp_path)]) == 0
    assert frames[::-1] == [
        "main",
        "run",
        "run_or_resume",
        "fit_in_memory",
        "train_and_record",
        "run",
        "train_batch",
    ]  # then Mat.step
