"""The kinds of configuration file, and their JSON schemas for editors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.paths import CONFIG, ROOT
from harness.plan.catalogue import Variant
from harness.plan.experiment import Experiment
from harness.plan.locked import Locked
from harness.plan.model import Model
from harness.plan.protocol import Protocol, ProtocolFile
from harness.plan.tables import TableSpec
from harness.plan.task import Task
from harness.plan.tuned import Tuned
from harness.plan.tuning import Tuning

SCHEMAS = CONFIG / "schema"
Schema = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str
    model: type[BaseModel]
    files: str
    entries: bool = False
    """Whether the file maps names to such models."""
    written: bool = False
    """Whether a command writes it; people then need no schema."""


KINDS = (
    Kind("experiment", Experiment, "config/*.yaml"),
    Kind("protocol", ProtocolFile, "config/protocols/*.yaml"),
    Kind("variants", Variant, "config/variants.yaml", entries=True),
    Kind("task", Task, "config/tasks/*.yaml"),
    Kind("model", Model, "config/models/*.yaml"),
    Kind("table", TableSpec, "config/tables/*.yaml"),
    Kind("lock", Locked, "config/data.lock.yaml", written=True),
    Kind("tuned", Tuned, "results/<experiment>/tuned/<task>/<model>/<variant>.yaml", written=True),
)


def files(kind: Kind) -> list[Path]:
    """Return the shipped files of a kind."""
    others = {ROOT / other.files for other in KINDS if other is not kind}
    return [path for path in sorted(ROOT.glob(kind.files)) if path not in others and not kind.written]


def header(kind: Kind, path: Path) -> str:
    """Return the line by which an editor finds the schema of the file in ``path``."""
    up = "../" * (len(path.relative_to(CONFIG).parts) - 1)
    return f"# yaml-language-server: $schema={up}schema/{kind.name}.json"


def schema(kind: Kind) -> Schema:
    """Return the JSON schema of a kind of file."""
    found = kind.model.model_json_schema()
    definitions = found.setdefault("$defs", {})
    _walk(found, lambda node: _name_protocol_values(node, definitions))
    if kind.model is Experiment:
        for key in ("tasks", "models", "variants"):
            found["properties"][key] = _names_or_mapping(found["properties"][key])
    if kind.model is Task:  # a child takes over what it does not say
        found["anyOf"] = [{"required": ["parent"]}, {"required": found.pop("required")}]
    if kind.entries:
        found = {"type": "object", "additionalProperties": {k: v for k, v in found.items() if k != "$defs"}}
        found["$defs"] = definitions
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _walk(node: Any, change: Callable[[Schema], None]) -> None:
    if isinstance(node, dict):
        change(node)
        for inner in list(node.values()):
            _walk(inner, change)


def _name_protocol_values(node: Schema, definitions: Schema) -> None:
    """Let ``settings``, and what tasks and models change, be protocol values: some of them, no others."""
    if node.get("title") == Tuning.__name__:  # its settings are ranges that are searched
        return
    places = node.get("properties", {})
    for key in ("settings", "tasks", "models"):
        facts = places.get(key, {})
        inner = facts.get("additionalProperties")
        if inner is True:
            facts["additionalProperties"] = False
            facts["properties"] = _settings(definitions)
        elif isinstance(inner, dict) and inner.get("additionalProperties") is True:
            inner |= {"additionalProperties": False, "properties": _settings(definitions)}


def _settings(definitions: Schema) -> Schema:
    found = Protocol.model_json_schema()
    definitions |= found.get("$defs", {})
    return dict(found["properties"])


def _names_or_mapping(facts: Schema) -> Schema:
    """Return the schema of a mapping that may also be a list of names, or have empty values."""
    told: Schema = {key: facts[key] for key in ("description", "title") if key in facts}
    mapping = {key: value for key, value in facts.items() if key not in told}
    mapping["additionalProperties"] = {"anyOf": [facts["additionalProperties"], {"type": "null"}]}
    names = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
    return {**told, "anyOf": [names, mapping]}
