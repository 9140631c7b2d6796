"""README and docs do what they say: every block is run, or says above it why not.

``console`` blocks are run line by line in a copy of the repository, and what is shown below a command must
be in its output in this order (numbers and hashes may differ, ``...`` stands for anything). A command whose
shown output has ``error:`` or ``FAILED`` must fail. ``python`` blocks are run. A comment above a block says
otherwise: ``<!-- file: PATH -->`` (it is that file), ``<!-- with: OLD -> NEW -->`` (it is run with smaller
settings, its output is not compared), or a reason of ``codeblocks.UNTESTED``. A block of ``text``, or of no
language, is shown only.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from codeblocks import Block, blocks
from copies import copy_of_the_repository

from harness.cli import build_parser
from harness.paths import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
DRY = {
    "make": "make --dry-run",
    "snakemake": "snakemake --dry-run --quiet",
    "python -m harness compare": "python -m harness compare --dry-run",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_does_what_it_says(page: Path, tmp_path: Path) -> None:
    found = blocks(page, ROOT)
    for block in found:
        check_shape(block)
    if any(block.word in ("", "long", "with") and block.language in ("console", "python") for block in found):
        clone = prepared(tmp_path)
        for block in found:
            run_block(block, clone)


def check_shape(block: Block) -> None:
    """Every block is of a kind that can be checked, and its commands of this project parse."""
    assert block.word == "file" or block.language in ("console", "python", "text", ""), (
        f"{block.place}: a block of {block.language or 'no language'} says `<!-- file: PATH -->` above it"
    )
    commands = re.findall(r"^\$ |^python -m |^snakemake\b|^make ", block.text, re.MULTILINE)
    assert not commands or block.language == "console" or block.word == "file", f"{block.place}: use console"
    parser, _ = build_parser()
    for command, shown in block.commands() if block.language == "console" else []:
        if command.startswith("python -m harness ") and not failing(shown):
            parser.parse_args(shlex.split(command, comments=True)[3:])


def prepared(folder: Path) -> Path:
    """Return a copy of the repository after ``make setup``, whose environment is this one."""
    clone = copy_of_the_repository(folder / "mat-harness")
    (clone / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        (clone / ".venv" / path.name).symlink_to(path)
    (clone / ".venv" / ".ready").unlink(missing_ok=True)
    (clone / ".venv" / ".ready").touch()
    return clone


def run_block(block: Block, clone: Path) -> None:
    if block.word == "file":
        (clone / block.value).parent.mkdir(parents=True, exist_ok=True)
        (clone / block.value).write_text(block.text)
    elif block.language == "python" and not block.word:
        done = run(f"{sys.executable} -", clone, block.text)
        assert done.returncode == 0, f"{block.place}:\n{done.stdout}"
    elif block.language == "console" and block.word in ("", "long", "with"):
        for command, shown in block.commands():
            run_command(block, dry(command, block.place) if block.word == "long" else command, shown, clone)


def run_command(block: Block, command: str, shown: list[str], clone: Path) -> None:
    done = run(command, clone)
    assert (done.returncode != 0) == failing(shown), f"{block.place}: {command}\n{done.stdout}"
    if not block.word:
        must_show(f"{block.place}: {command}", shown, done.stdout)


def run(command: str, clone: Path, script: str = "") -> subprocess.CompletedProcess[str]:
    there = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{clone / 'workflow'}:{clone}",
    }
    return subprocess.run(
        ["bash", "-c", command], cwd=clone, env=os.environ | there, input=script, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def dry(command: str, place: str) -> str:
    """Return a command that does nothing but check what a long one would do."""
    for start, changed in DRY.items():
        if command.startswith(start):
            return command.replace(start, changed, 1)
    raise AssertionError(f"{place}: {command}: no dry run is known")


def failing(shown: list[str]) -> bool:
    return any(line.startswith(("error:", "FAILED")) for line in shown)


def must_show(what: str, shown: list[str], output: str) -> None:
    """Lines are shown in their order; ``...`` stands for other lines, or for more of a line."""
    lines, position = [plain(line) for line in output.splitlines()], 0
    for line in shown:
        pattern = re.compile(re.escape(plain(line)).replace(r"\.\.\.", ".*"))
        if line.strip() in ("", "..."):
            continue
        found = [n for n, said in enumerate(lines[position:], position) if pattern.fullmatch(said)]
        assert found, f"{what}: {line!r} is not there in its output:\n{output}"
        position = found[0] + 1


def plain(line: str) -> str:
    """Return a line without what differs from run to run: numbers, hashes, widths of columns."""
    line = re.sub(r"\b[0-9a-f]*[0-9][0-9a-f]*\b|\d+", "#", line)
    return re.sub(r"#([.,:]#)+", "#", re.sub(r"[ -]{2,}", " ", line)).strip()
