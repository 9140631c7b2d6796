"""Signatures: public functions take and return types, not dictionaries of anything."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from harness.util.paths import ROOT

PACKAGES = ("workflow/harness", "mat", "baselines")
UNTYPED = re.compile(r"\b(dict|Mapping|MutableMapping)\[str, Any\]")
EXEMPT: dict[str, str] = {
    "workflow/harness/config/base.py:check": "checks the content of any YAML file",
    "workflow/harness/config/yaml_loader.py:read_yaml": "reads any YAML file",
    "workflow/harness/config/protocol.py:ProtocolFile.base": "values that are checked as a Protocol later",
    "workflow/harness/config/key_docs.py:values": "reads a JSON schema",
    "workflow/harness/config/model.py:Model.identity": "JSON that is hashed",
    "workflow/harness/config/task.py:Task.identity": "JSON that is hashed",
    "workflow/harness/config/result.py:Result.timeless": "JSON that is compared",
    "workflow/harness/engine/trainer.py:Training.from_json": "reads JSON",
    "workflow/harness/runs/folder.py:RunFolder.write_json": "writes JSON",
    "workflow/harness/runs/folder.py:RunFolder.provenance": "reads JSON",
    "workflow/harness/tuning/trial.py:TrialProgress.content": "JSON that Optuna stores",
}
"""Files, or single functions of a file, to the reason why their content has no type."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield the public functions and methods of a module or class, with their names."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, Function) and (not node.name.startswith("_") or node.name.endswith("__")):
            yield f"{prefix}{node.name}", node


def annotations(function: Function) -> Iterator[ast.expr | None]:
    """Yield the annotation of each argument but ``self`` and ``cls``, and of the returned value."""
    arguments = function.args
    for one in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        if one.arg not in ("self", "cls"):
            yield one.annotation
    yield from (one.annotation for one in (arguments.vararg, arguments.kwarg) if one is not None)
    yield function.returns


def signatures() -> Iterator[tuple[str, str, list[str | None]]]:
    """Yield the file, name and annotations of each public function."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            for name, function in public_functions(ast.parse(path.read_text(encoding="utf-8")).body):
                texts = [None if a is None else ast.unparse(a) for a in annotations(function)]
                yield file, name, texts


def is_untyped(texts: list[str | None]) -> bool:
    return any(text is not None and UNTYPED.search(text) for text in texts)


def test_public_functions_have_no_untyped_dictionaries() -> None:
    untyped = {f"{file}:{name}": file for file, name, texts in signatures() if is_untyped(texts)}
    unexpected = [name for name, file in untyped.items() if name not in EXEMPT and file not in EXEMPT]
    assert not unexpected, unexpected
    unused = [entry for entry in EXEMPT if entry not in untyped and entry not in untyped.values()]
    assert not unused, f"no longer needed in EXEMPT: {unused}"


def test_every_public_function_states_its_types() -> None:
    missing = [f"{file}:{name}" for file, name, texts in signatures() if None in texts]
    assert not missing, missing


def test_the_check_finds_an_untyped_dictionary(tmp_path: Path) -> None:
    source = "class A:\n    def b(self, c: list[dict[str, Any]]) -> None: ...\n    def _d(self, e): ...\n"
    ((name, function),) = public_functions(ast.parse(source).body)
    texts = [ast.unparse(a) for a in annotations(function) if a is not None]
    assert name == "A.b" and texts == ["list[dict[str, Any]]", "None"] and is_untyped(list(texts))
    assert not is_untyped(["Mapping[str, str | float]"])
