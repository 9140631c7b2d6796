"""Runs that are killed at random moments and started again, until they are whole.

    python tests/chaos.py EXPERIMENT FOLDER KILLS SEED

prints one JSON line a run: how often it was killed, and whether it ended as an undisturbed one does.
Each try is a fork of this process: a SIGKILL is as real, and torch is imported once.
"""

import json
import logging
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from harness.config.result import Result
from harness.engine import metrics
from harness.plan.grid import Run
from harness.plan.plan import Plan, make_plan
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import run_or_resume
from harness.runs.session import open_session


def comparable(folder: RunFolder) -> dict[str, object]:
    """Return all of a run folder that may not depend on how the run came about."""
    result = folder.result()
    assert result is not None
    return {
        "result": result.timeless(),
        "metrics": folder.metrics_path.read_bytes(),
        "predictions": folder.predictions_path.read_bytes(),
        "files": sorted(p.name for p in folder.path.iterdir()),
    }


def train_again(plan: Plan, run: Run) -> Result:
    """Train a run that has a result once more, from its beginning."""
    RunFolder(plan.run_folder(run)).result_path.unlink()
    return run_or_resume(plan, run, threads=1)


def start(plan: Plan, run: Run) -> int:
    """Start a try and return its process."""
    child = os.fork()
    if child:
        return child
    try:
        run_or_resume(plan, run, threads=1)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def whole(plan: Plan, run: Run) -> float:
    """Let a run finish; return the CPU seconds it took."""
    _, status, used = os.wait4(start(plan, run), 0)
    assert status == 0, "a try failed that was not killed"
    return used.ru_utime + used.ru_stime


def killed(plan: Plan, run: Run, after: float) -> bool:
    """Kill a try when it has used so many CPU seconds; return whether it was still alive."""
    child = start(plan, run)
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and used(child) < after:
        time.sleep(0.001)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    assert ended[1] in (0, signal.SIGKILL), "a try failed by itself"
    return ended[1] == signal.SIGKILL


def used(child: int) -> float:
    """Return the CPU seconds of a process: unlike the time of day, they tell how far it has come."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disturbed(plan: Plan, run: Run, kills: int, seconds: float, draw: random.Random) -> dict[str, object]:
    """Kill a run that many times, anywhere between its start and its end, then let it finish.

    Where a run comes to its end in between it is begun anew.
    """
    folder = RunFolder(plan.run_folder(run))
    hashes, batches, landed, found = [], [], 0, Counter[str]()
    while True:
        if landed < kills:
            alive = killed(plan, run, draw.uniform(0, seconds))
            landed += alive
            found[stage(folder, alive)] += 1
        else:
            whole(plan, run)
        result = folder.result()
        if result is not None:
            hashes.append(result.hashes["weights"])
            batches += [attempt["after_batch"] for attempt in folder.provenance()["attempts"]]
            if landed == kills:
                return {"hashes": hashes, "kills": landed, "found": dict(found), "after_batch": batches}
            shutil.rmtree(folder.path)


def stage(folder: RunFolder, alive: bool) -> str:
    if not alive:
        return "finished before"
    names = [p.name for p in folder.checkpoints.iterdir()] if folder.checkpoints.is_dir() else []
    if any(name.startswith(".") for name in names):
        return "in the middle of a checkpoint"
    return f"with {len(names)} checkpoints"


def main(file: Path, out: Path, kills: int, seed: int) -> None:
    logging.disable()
    metrics.RESAMPLES = 9  # the chance p-value is most of a tiny run's time, and no matter here
    calm, wild = make_plan(file, out / "calm"), make_plan(file, out / "wild")
    for plan in (calm, wild):  # what is imported and made here, no try imports or makes again
        open_session(plan, plan.cells[0], seed=1)
    for run, same in zip(calm.runs, wild.runs, strict=True):
        seconds = whole(calm, run)
        report = disturbed(wild, same, kills, seconds, random.Random(seed))
        calm_folder, wild_folder = RunFolder(calm.run_folder(run)), RunFolder(wild.run_folder(same))
        expected = calm_folder.result()
        assert expected is not None
        report["undisturbed"] = expected.hashes["weights"]
        report["equal"] = comparable(wild_folder) == comparable(calm_folder)
        print(json.dumps({"run": run.name, "seconds": round(seconds, 2), **report}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
