"""`make bench`: checks of the reference loops, then ratios, into results/bench/bench.json and table.md."""

import argparse
import json
import platform
import sys
from pathlib import Path

import torch
from tabulate import tabulate

from benchmarks import budget, parity
from benchmarks.rows import Row, task_rows
from benchmarks.settings import BATCH, MAX_LENGTH, SETTINGS, tasks
from benchmarks.table import table
from harness.errors import HarnessError
from harness.runs.atomic import write_text
from harness.runs.device import choose_device


def main() -> int:
    """Run what the command line asks for; 1 if a reference loop is not what it should be."""
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    names = chosen.task or tasks(chosen.data_root)
    if chosen.data_root is None:
        print(f"No data root (DATA_ROOT=DIR): measuring {', '.join(names)}, whose data are packages.")
    if wrong := checked(names[0], chosen.model, chosen.data_root):
        print("\n".join(["No ratio is printed:", *wrong]), file=sys.stderr)
        return 1
    path: Path = chosen.out / "bench.json"
    settings = [s for s in SETTINGS if not chosen.method or s.name in chosen.method]
    asked = {(name, setting.name) for name in names for setting in settings}
    kept = json.loads(path.read_text()) if (chosen.task or chosen.method) and path.is_file() else []
    rows: list[Row] = [row for row in kept if (row["task"], row["method"]) not in asked]
    for name in names:
        for row in task_rows(name, chosen.model, chosen.data_root, chosen.seconds, chosen.threads, settings):
            rows.append(row)
            print("{task:12} {method:10} {precision} {ours_ms:9.1f} {reference_ms:9.1f} ms".format(**row))
            write_text(path, json.dumps(rows, indent=1) + "\n")
    text = table(rows, about(chosen.model, chosen.threads))
    write_text(chosen.out / "table.md", text)
    print(f"\n{text}\n{path}")
    return 0


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder with GLUE's files")
    parser.add_argument(
        "--task", action="append", metavar="T", help="measure these alone; the other rows are kept"
    )
    parser.add_argument(
        "--method",
        action="append",
        choices=[setting.name for setting in SETTINGS],
        help="measure these alone; the other rows are kept",
    )
    parser.add_argument("--model", default="minilm", metavar="M", help="a model (minilm)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads (2)")
    parser.add_argument(
        "--seconds", type=float, default=15.0, metavar="S", help="for one method on one task (15)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/bench"), metavar="DIR", help="results/bench"
    )
    return parser.parse_args()


def checked(task: str, model: str, data_root: Path | None) -> list[str]:
    """Return what is wrong with the reference loops: other numbers, or another cost."""
    wrong = parity.failures()
    print(f"parity with recorded traces: {', '.join(parity.CHECKED)}{': failed' if wrong else ''}")
    if wrong:
        return wrong
    found = budget.rows(task, model, data_root)
    print("time over a plain step, batch 16, lengths 10-64, fp32:")
    print(tabulate(found, headers="keys", floatfmt=".2f") + "\n")
    return budget.failures(found)


def about(model: str, threads: int) -> str:
    """Return what was measured, on what."""
    device = choose_device("auto", "fp32")
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{threads} threads"
    return (
        f"{model}, batch {BATCH}, at most {MAX_LENGTH} tokens, dropout on; {device.type}, {where}, "
        f"torch {torch.__version__}, {platform.system()} {platform.machine()}."
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HarnessError as error:
        sys.exit(f"error: {error}")
