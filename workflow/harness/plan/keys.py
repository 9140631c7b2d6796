"""Parts of a run key: the version of the engine's arithmetic, and the hash of a method's source."""

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.config.model import Model
from harness.methods import adversary, foreach
from harness.methods.interface import Method
from harness.util.hashing import digest

NUMERICS = 3
"""Version of the engine's arithmetic, part of every run key. Raise it by hand when a change alters the bits
of a result; ``tests/parity/test_fingerprint.py`` fails in that case."""
SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
HARNESS = Path(adversary.__file__).parents[1]
ARITHMETIC = (Path(adversary.__file__), Path(foreach.__file__))
"""Files of the harness that methods compute with. Of the others, NUMERICS is the version."""


def identity(
    task: tuple[str, object],
    model: tuple[str, Model],
    protocol: Mapping[str, object],
    method: Method,
    source: str,
    computing: Mapping[str, bool],
) -> dict[str, object]:
    """Return everything that determines the results of a cell, except the seed.

    ``task`` and ``model`` have their names, which the random streams are seeded from; ``source`` is the hash
    of the method's source, ``computing`` the changes of ``harness.config.experiment.NUMERIC``.
    """
    return {
        "task": list(task),
        "model": [model[0], model[1].identity()],
        "protocol": dict(protocol),
        "method": method.name,
        "arguments": method.arguments.model_dump(),
        "source": source,
        "computing": dict(computing),
        "numerics": NUMERICS,
    }


def source_digest(path: Path, packages: Mapping[str, Path]) -> str:
    """Return the hash of a Python file and of the files that it imports from ``packages`` (name to folder).

    The arithmetic that methods share counts as well. Comments, docstrings and blank lines do not, so a run
    stays valid when only words change. The search space does not count either, because the run key contains
    the arguments themselves.
    """
    files = _with_imports(path.resolve(), {**packages, HARNESS.name: HARNESS}, set())
    parts = sorted([file.name, _meaning(file.read_text(encoding="utf-8"))] for file in files)
    return digest([part for part in parts if part[1]])


def _with_imports(path: Path, packages: Mapping[str, Path], files: set[Path]) -> set[Path]:
    """Return ``path`` and the files of ``packages`` that it imports, directly or indirectly."""
    if path in files or (path.is_relative_to(HARNESS) and path not in ARITHMETIC):
        return files
    files.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        for place in _imported(node, path, packages):
            for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
                if file.is_file():
                    _with_imports(file.resolve(), packages, files)
    return files


def _imported(node: ast.AST, path: Path, packages: Mapping[str, Path]) -> Iterator[Path]:
    """Yield the paths (without extension) in ``packages`` that an import statement may refer to."""
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
    """Return the statements of ``source`` that affect results, the same under every Python version."""
    lines = source.splitlines(keepends=True)
    statements: list[list[str]] = [[]]
    skipped = _search_space_lines(ast.parse(source))
    layout = {tokenize.INDENT: "<indent>", tokenize.DEDENT: "<dedent>"}
    format_depth, format_start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":  # Python 3.12 splits f-strings into tokens: join them
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
        elif token.type not in SILENT and token.start[0] not in skipped:
            statements[-1].append(token.string)
    return [" ".join(s) for s in statements if s and not _is_docstring(s)]


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])


def _is_docstring(statement: list[str]) -> bool:
    """Return whether a statement consists only of string literals."""
    return all(part.lstrip("rRbBuUfF").startswith(("'", '"')) for part in statement)


def _search_space_lines(module: ast.Module) -> set[int]:
    """Return the lines that declare a method's search space in its class body, or import what they need."""
    declarations: list[ast.stmt] = [
        node
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.module == "harness.methods.search_space"
    ]
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            declarations += [statement for statement in node.body if _assigns_search_space(statement)]
    return {line for node in declarations for line in range(node.lineno, (node.end_lineno or 0) + 1)}


def _assigns_search_space(statement: ast.stmt) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return [node.id for node in targets if isinstance(node, ast.Name)] == ["search_space"]
