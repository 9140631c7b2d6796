"""The command line: one file a command, found by itself; starts without torch."""

import argparse
import importlib
import logging
import os
import pkgutil
import sys
from pathlib import Path

from harness.errors import HarnessError

EPILOG = """\
examples:
  python -m harness methods
  python -m harness plan quick
  python -m harness fetch paper
  python -m harness run --task stsb --model minilm --method mat --seed 1
  python -m harness compare --methods vanilla,mat --tasks rotten_tomatoes --like quick
  python -m harness tables quick

EXPERIMENT is a file, or the name of one in config/ (quick stands for config/quick.yaml).
python -m harness COMMAND --help tells more of a command, and gives an example.
"""


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser, and that of each command by its name."""
    parser = argparse.ArgumentParser(
        prog="python -m harness",
        description="Benchmark and reproducibility harness for adversarial fine-tuning.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in sorted(pkgutil.iter_modules([str(Path(__file__).parent)]), key=lambda m: m.name):
        if not module.name.startswith("_"):
            importlib.import_module(f"harness.cli.{module.name}").register(commands)
    commands._choices_actions.sort(key=lambda action: action.dest)  # argparse keeps the order of arrival
    return parser, dict(commands.choices)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status (0 done, 1 a plain error, 2 wrong usage)."""
    chosen = build_parser()[0].parse_args(arguments)
    if not getattr(chosen, "online", False):  # read by the Hub's libraries when they are imported
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return int(chosen.command(chosen) or 0)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    return 1
