"""Content hashes: a run's key, and the hash of a method's own source."""

import ast
import hashlib
import io
import json
import tokenize
from pathlib import Path
from typing import Any

from harness.paths import ROOT

METHOD_ROOMS = ("mat", "baselines")


def digest(value: Any) -> str:
    """Return the SHA-256 of ``value`` written as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_digest(path: Path) -> str:
    """Return the hash of a Python file and of what it imports inside ``mat/`` and ``baselines/``.

    Comments, docstrings and blank lines do not count: a run stays valid when only words change. Neither
    does the search space: the arguments that it led to are in the key by themselves.
    """
    files = sorted(_with_imports(path.resolve(), set()))
    parts = [[file.name, _meaning(file.read_text(encoding="utf-8"))] for file in files]
    return digest(parts)


def _with_imports(path: Path, seen: set[Path]) -> set[Path]:
    """Return ``path`` and, transitively, the method files that it imports."""
    if path in seen:
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            imported = _method_file(name)
            if imported is not None:
                _with_imports(imported, seen)
    return seen


def _method_file(module: str) -> Path | None:
    room, *rest = module.split(".")
    if room not in METHOD_ROOMS or not rest:
        return None
    path = ROOT.joinpath(room, *rest).with_suffix(".py")
    return path if path.is_file() else None


def _meaning(source: str) -> list[str]:
    """Return the tokens of ``source`` that matter, independent of the Python version's tokenizer."""
    lines = source.splitlines(keepends=True)
    statements: list[list[str]] = [[]]
    layout = {tokenize.INDENT: "<indent>", tokenize.DEDENT: "<dedent>"}
    format_depth, format_start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":  # Python 3.12 cuts f-strings into parts: put them together again
            format_start = token.start if format_depth == 0 else format_start
            format_depth += 1
        elif kind == "FSTRING_END":
            format_depth -= 1
            if format_depth == 0:
                statements[-1].append(_slice(lines, format_start, token.end))
        elif format_depth:
            continue
        elif token.type == tokenize.NEWLINE:
            statements.append([])
        elif token.type in layout:
            statements.append([layout[token.type]])
            statements.append([])
        elif token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER):
            statements[-1].append(token.string)
    return [" ".join(s) for s in statements if s and not (_is_docstring(s) or _is_search(s))]


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])


def _is_docstring(statement: list[str]) -> bool:
    """Tell whether a statement is nothing but string literals."""
    return all(part.lstrip("rRbBuUfF").startswith(("'", '"')) for part in statement)


def _is_search(statement: list[str]) -> bool:
    """Tell whether a statement is a search space, or the import of what it is written with."""
    return statement[:2] == ["search", "="] or "".join(statement).startswith(
        "fromharness.methods.searchimport"
    )
