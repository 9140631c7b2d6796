"""``make bench``: check the reference loops, then write ratios to results/bench/bench.json and table.md."""

import argparse
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from tabulate import tabulate

from benchmarks import budget, parity
from benchmarks.rows import Row, task_rows
from benchmarks.settings import BATCH, MAX_LENGTH, SETTINGS, tasks
from benchmarks.table import table
from harness.runs.device import choose_device
from harness.util.errors import HarnessError
from harness.util.files import write_text


def main() -> int:
    """Measure what the command line selects; return 1 if a reference loop fails its checks."""
    args = arguments()
    torch.set_num_threads(args.threads)
    names = args.task or tasks(args.data_root)
    if args.data_root is None:
        print(f"No data root (DATA_ROOT=DIR): measuring {', '.join(names)}, whose data are packages.")
    if errors := checked(names[0], args.model, args.data_root):
        print("\n".join(["No ratio is printed:", *errors]), file=sys.stderr)
        return 1
    path: Path = args.out / "bench.json"
    settings = [s for s in SETTINGS if not args.method or s.name in args.method]
    rows = earlier_rows(path, args, names, [setting.name for setting in settings])
    for name in names:
        for row in task_rows(name, args.model, args.data_root, args.seconds, args.threads, settings):
            rows.append(row)
            print(
                "{task:12} {method:10} {precision} {ours_ms:9.1f} {reference_ms:9.1f} ms".format(
                    **asdict(row)
                )
            )
            write_text(path, json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    text = table(rows, about(args.model, args.threads))
    write_text(args.out / "table.md", text)
    print(f"\n{text}\n{path}")
    return 0


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder with GLUE's files")
    parser.add_argument(
        "--task", action="append", metavar="T", help="measure only these; other rows are kept"
    )
    parser.add_argument(
        "--method",
        action="append",
        choices=[setting.name for setting in SETTINGS],
        help="measure only these; other rows are kept",
    )
    parser.add_argument("--model", default="minilm", metavar="M", help="a model (default: minilm)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    parser.add_argument(
        "--seconds", type=float, default=15.0, metavar="S", help="per method and task (default: 15)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/bench"), metavar="DIR", help="default: results/bench"
    )
    return parser.parse_args()


def earlier_rows(path: Path, args: argparse.Namespace, tasks: list[str], methods: list[str]) -> list[Row]:
    """Return the rows of an earlier measurement, if only some tasks or methods are measured now."""
    if not (args.task or args.method) or not path.is_file():
        return []
    rows = [Row(**content) for content in json.loads(path.read_text())]
    return [row for row in rows if row.task not in tasks or row.method not in methods]


def checked(task: str, model: str, data_root: Path | None) -> list[str]:
    """Return the errors of the reference loops: wrong numbers, or a wrong cost."""
    errors = parity.failures()
    print(f"parity with recorded traces: {', '.join(parity.CHECKED)}{': failed' if errors else ''}")
    if errors:
        return errors
    costs = budget.costs(task, model, data_root)
    print("time relative to a plain step, batch 16, lengths 10-64, fp32:")
    print(tabulate(costs, headers="keys", floatfmt=".2f") + "\n")
    return budget.failures(costs)


def about(model: str, threads: int) -> str:
    """Return what was measured, and on which machine."""
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
