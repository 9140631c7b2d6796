"""Every code block of README and docs is run, or the comment above it states why not.

``console`` blocks are run line by line in a copy of the repository. The output shown below a command must be
part of its output, in this order; numbers and hashes may differ, and ``...`` matches anything. A command must
fail if the shown output contains ``error:`` or ``FAILED``. ``python`` blocks are run. Blocks of ``text`` or
``mermaid``, and blocks without a language, are only shown. A comment above a block changes this:
``<!-- file: PATH -->`` (the block is this file), ``<!-- with: OLD -> NEW -->`` (it is run with smaller
settings, and its output is not compared), or a reason of ``doc_blocks.UNTESTED``.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.clones import copy_of_the_repository
from support.doc_blocks import Block, blocks, broken_links

from harness.cli import build_parser
from harness.util.paths import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = ("console", "python", "text", "mermaid", "")
DRY = {
    "make": "make --dry-run",
    "snakemake": "snakemake --dry-run --quiet",
    "harness compare": "harness compare --dry-run",
}


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_block_works_as_shown(page: Path, tmp_path: Path) -> None:
    page_blocks = blocks(page, ROOT)
    for block in page_blocks:
        check_shape(block)
    if any(b.word in ("", "long", "with") and b.language in ("console", "python") for b in page_blocks):
        clone = prepared(tmp_path)
        for block in page_blocks:
            run_block(block, clone)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_point_to_existing_files_and_headings(page: Path) -> None:
    assert broken_links(page) == []


def test_the_glossary_is_alphabetical() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^\*\*(.+?)\*\*:", text, re.MULTILINE)]
    assert len(words) > 50 and words == sorted(set(words))


def check_shape(block: Block) -> None:
    """Every block has a kind that can be checked, and its commands of this project parse."""
    assert block.word == "file" or block.language in LANGUAGES, (
        f"{block.place}: a block of {block.language or 'no language'} needs `<!-- file: PATH -->` above it"
    )
    commands = re.findall(r"^\$ |^python -m |^harness [a-z]|^snakemake\b|^make ", block.text, re.MULTILINE)
    assert not commands or block.language == "console" or block.word == "file", f"{block.place}: use console"
    assert "python -m harness " not in block.text, f"{block.place}: write `harness VERB`"
    parser, _ = build_parser()
    for command, shown in block.commands() if block.language == "console" else []:
        if command.startswith("harness ") and not fails(shown):
            parser.parse_args(shlex.split(command, comments=True)[1:])


def prepared(folder: Path) -> Path:
    """Return a copy of the repository after ``make setup``, with the environment of this process."""
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
        (clone / block.value).write_text(block.text, encoding="utf-8")
    elif block.language == "python" and not block.word:
        process = run(f"{sys.executable} -", clone, block.text)
        assert process.returncode == 0, f"{block.place}:\n{process.stdout}"
    elif block.language == "console" and block.word in ("", "long", "with"):
        for command, shown in block.commands():
            run_command(block, dry(command, block.place) if block.word == "long" else command, shown, clone)


def run_command(block: Block, command: str, shown: list[str], clone: Path) -> None:
    process = run(command, clone)
    assert (process.returncode != 0) == fails(shown), f"{block.place}: {command}\n{process.stdout}"
    if not block.word:
        must_show(f"{block.place}: {command}", shown, process.stdout)


def run(command: str, clone: Path, script: str = "") -> subprocess.CompletedProcess[str]:
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{clone / 'workflow'}:{clone}",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env=os.environ | variables,
        input=script,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def dry(command: str, place: str) -> str:
    """Return a command that only checks what the long one would do."""
    for start, replacement in DRY.items():
        if command.startswith(start):
            return command.replace(start, replacement, 1)
    raise AssertionError(f"{place}: {command}: there is no dry run of this command")


def fails(shown: list[str]) -> bool:
    """Return whether the shown output is that of a command that fails."""
    return any(line.startswith(("error:", "FAILED")) for line in shown)


def must_show(name: str, shown: list[str], output: str) -> None:
    """Compare output with the shown lines, in their order; ``...`` matches lines, or a part of a line."""
    lines, position = [plain(line) for line in output.splitlines()], 0
    for line in shown:
        pattern = re.compile(re.escape(plain(line)).replace(r"\.\.\.", ".*"))
        if line.strip() in ("", "..."):
            continue
        matches = [n for n, text in enumerate(lines[position:], position) if pattern.fullmatch(text)]
        assert matches, f"{name}: {line!r} is not in its output:\n{output}"
        position = matches[0] + 1


def plain(line: str) -> str:
    """Return a line without what differs between runs: numbers, hashes, widths of columns."""
    line = re.sub(r"\b[0-9a-f]*[0-9][0-9a-f]*\b|\d+", "#", line)
    return re.sub(r"#([.,:]#)+", "#", re.sub(r"[ -]{2,}", " ", line)).strip()
