"""Content hashes: a run's key, and the hash of a method's own source."""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """Return the SHA-256 of ``value`` written as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_digest(path: Path, packages: Mapping[str, Path]) -> str:
    """Return the hash of a Python file and of what it imports inside ``packages``, name to folder.

    Comments, docstrings and blank lines do not count: a run stays valid when only words change. Neither
    does the search space: the arguments that it led to are in the key by themselves.
    """
    files = _with_imports(path.resolve(), packages, set())
    parts = sorted([file.name, _meaning(file.read_text(encoding="utf-8"))] for file in files)
    return digest([part for part in parts if part[1]])


def _with_imports(path: Path, packages: Mapping[str, Path], seen: set[Path]) -> set[Path]:
    """Return ``path`` and, transitively, the files of ``packages`` that it imports."""
    if path in seen:
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        for place in _imported(node, path, packages):
            for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
                if file.is_file():
                    _with_imports(file.resolve(), packages, seen)
    return seen


def _imported(node: ast.AST, path: Path, packages: Mapping[str, Path]) -> Iterator[Path]:
    """Yield what an import statement in ``path`` may mean inside ``packages``: paths without ending."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top, *rest = alias.name.split(".")
            if top in packages:
                yield packages[top].joinpath(*rest)
    elif isinstance(node, ast.ImportFrom):
        parts = node.module.split(".") if node.module else []
        if node.level:
            folder = path.parents[node.level - 1]
        elif parts[0] in packages:
            folder = packages[parts.pop(0)]
        else:
            return
        yield folder.joinpath(*parts)
        yield from (folder.joinpath(*parts, alias.name) for alias in node.names)


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
