"""The command line: one file per command. It starts without torch, pandas and MLflow."""

import argparse
import importlib
import logging
import os
import pkgutil
import sys
from pathlib import Path

from harness.util.errors import HarnessError, unknown

EPILOG = """\
examples:
  harness methods
  harness plan quick
  harness fetch paper
  harness run --task stsb --model minilm --method mat --seed 1
  harness compare --methods vanilla,mat --tasks rotten_tomatoes --like quick
  harness tables quick

EXPERIMENT is a file, or the name of one in config/ (quick is config/quick.yaml).
harness COMMAND --help describes a command and gives an example.
"""


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser, and that of each command by its name."""
    parser = argparse.ArgumentParser(
        prog="harness",
        description="Benchmark and reproducibility harness for adversarial fine-tuning.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith("_"):
            importlib.import_module(f"harness.cli.{module.name}").register(commands)
    return parser, dict(commands.choices)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status (0 done, 1 a plain error, 2 wrong usage)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser, commands = build_parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
        print(f"error: {unknown('command', arguments[0], commands)}", file=sys.stderr)
        return 2
    args = parser.parse_args(arguments)
    if not getattr(args, "online", False):  # the Hub's libraries read these when they are imported
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        status = int(args.command(args) or 0)
        sys.stdout.flush()
        return status
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    return 1
