"""Typed, strict models, and their mistakes told as ``file: key: what was expected``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import unknown
from harness.paths import shown

Kind = TypeVar("Kind", bound=BaseModel)


class Strict(BaseModel):
    """Base of everything that is read from a file: no unknown keys, no silent conversions, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


def check(
    kind: type[Kind], values: Mapping[str, Any], file: Path | str, key: str = ""
) -> tuple[Kind | None, list[str]]:
    """Return the model, or None and one line for each mistake in ``values``."""
    try:
        return kind.model_validate(dict(values)), []
    except ValidationError as error:
        where = shown(file) if isinstance(file, Path) else file
        return None, [f"{where}: {_explain(kind, one, key)}" for one in error.errors()]


def _explain(kind: type[BaseModel], one: Any, prefix: str) -> str:
    path = [str(part) for part in one["loc"]]
    key = ".".join([prefix, *path] if prefix else path)
    if one["type"] == "extra_forbidden":
        owner = _owner(kind, path[:-1])
        return f"{key}: {unknown('key', path[-1], owner.model_fields)}"
    if one["type"] == "missing":
        return f"{key}: missing; expected {_expected(kind, path)}"
    message = one["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    given = f", got {one['input']!r}" if not isinstance(one["input"], (dict, BaseModel)) else ""
    return f"{key}: expected {message}{given}" if message != one["msg"] else f"{key}: {message}{given}"


def _owner(kind: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """Return the model whose keys stand at ``path`` inside ``kind``."""
    for part in path:
        field = kind.model_fields.get(part)
        nested = nested_models(field.annotation) if field else []
        kind = nested[0] if nested else kind
    return kind


def nested_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a key's type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in nested_models(inner)]


def _expected(kind: type[BaseModel], path: list[str]) -> str:
    field = _owner(kind, path[:-1]).model_fields.get(path[-1])
    return (field.description if field and field.description else "a value").rstrip(".")
