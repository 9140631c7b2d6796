"""Typed, strict models, and their errors as ``file: key: what was expected``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.util.errors import unknown
from harness.util.paths import display_path

Kind = TypeVar("Kind", bound=BaseModel)


class Strict(BaseModel):
    """Base of everything that is read from a file: no unknown keys, no silent conversions, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())
    renamed: ClassVar[Mapping[str, str]] = {}
    """Former names of keys to their present names. A former name is an error that states the present one."""


def check(
    kind: type[Kind], values: Mapping[str, Any], file: Path | str, key: str = ""
) -> tuple[Kind | None, list[str]]:
    """Return the model of ``values``, or None and one line for each error.

    ``file`` and ``key`` are the place of ``values`` in error messages.
    """
    try:
        return kind.model_validate(dict(values)), []
    except ValidationError as error:
        where = display_path(file) if isinstance(file, Path) else file
        details = error.errors()
        present = [path for detail in details for path in _present_path(kind, detail)]
        lines = [_explain(kind, detail, key) for detail in details if _path(detail) not in present]
        return None, [f"{where}: {line}" for line in lines]


def _path(detail: Any) -> list[str]:
    return [str(part) for part in detail["loc"]]


def _present_path(kind: type[BaseModel], detail: Any) -> list[list[str]]:
    """Return the path of the key that replaces a former name; that key is not reported as missing."""
    *parents, name = _path(detail) or [""]
    renamed = _renamed(_owner(kind, parents)) if detail["type"] == "extra_forbidden" else {}
    return [[*parents, renamed[name]]] if name in renamed else []


def _renamed(kind: type[BaseModel]) -> Mapping[str, str]:
    return kind.renamed if issubclass(kind, Strict) else {}


def _explain(kind: type[BaseModel], detail: Any, prefix: str) -> str:
    path = _path(detail)
    key = ".".join([prefix, *path] if prefix else path)
    if detail["type"] == "extra_forbidden":
        owner = _owner(kind, path[:-1])
        if path[-1] in _renamed(owner):
            return f"{key}: is now {_renamed(owner)[path[-1]]}"
        return f"{key}: {unknown('key', path[-1], owner.model_fields)}"
    if detail["type"] == "missing":
        return f"{key}: missing; expected {_expected(kind, path)}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = "true or false" if message == "a valid boolean" else message
    value = f", got {detail['input']!r}" if not isinstance(detail["input"], (dict, BaseModel)) else ""
    return f"{key}: expected {message}{value}" if message != detail["msg"] else f"{key}: {message}{value}"


def _owner(kind: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """Return the model whose keys are at ``path`` inside ``kind``."""
    for part in path:
        field = kind.model_fields.get(part)
        nested = nested_models(field.annotation) if field else []
        kind = nested[0] if nested else kind
    return kind


def nested_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a key's type contains."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in nested_models(inner)]


def _expected(kind: type[BaseModel], path: list[str]) -> str:
    field = _owner(kind, path[:-1]).model_fields.get(path[-1])
    return (field.description if field and field.description else "a value").rstrip(".")
