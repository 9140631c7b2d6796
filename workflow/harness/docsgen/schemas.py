"""The kinds of configuration file, and their JSON schemas for editors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.config.experiment import Experiment
from harness.config.lockfile import Locked
from harness.config.model import Model
from harness.config.plan_file import PlanFile
from harness.config.protocol import Protocol, ProtocolFile
from harness.config.table import TableSpec
from harness.config.task import Task
from harness.config.tuned import Tuned
from harness.config.tuning import Tuning
from harness.config.variant import Variant
from harness.util.paths import CONFIG, ROOT

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
    """Whether a command writes the file."""


KINDS = (
    Kind("experiment", Experiment, "config/*.yaml"),
    Kind("protocol", ProtocolFile, "config/protocols/*.yaml"),
    Kind("variants", Variant, "config/variants.yaml", entries=True),
    Kind("task", Task, "config/tasks/*.yaml"),
    Kind("model", Model, "config/models/*.yaml"),
    Kind("table", TableSpec, "config/tables/*.yaml"),
    Kind("lock", Locked, "config/data.lock.yaml", written=True),
    Kind("tuned", Tuned, "results/<experiment>/tuned/<task>/<model>/<variant>.yaml", written=True),
    Kind("plan", PlanFile, "results/<experiment>/plan.json", written=True),
)


def files(kind: Kind) -> list[Path]:
    """Return the shipped files of a kind."""
    others = {ROOT / other.files for other in KINDS if other is not kind}
    return [path for path in sorted(ROOT.glob(kind.files)) if path not in others and not kind.written]


def header(kind: Kind, path: Path) -> str:
    """Return the first line of the file in ``path``, which names its schema for editors."""
    up = "../" * (len(path.relative_to(CONFIG).parts) - 1)
    return f"# yaml-language-server: $schema={up}schema/{kind.name}.json"


def schema(kind: Kind) -> Schema:
    """Return the JSON schema of a kind of file."""
    result = kind.model.model_json_schema()
    definitions = result.setdefault("$defs", {})
    _walk(result, lambda node: _name_protocol_values(node, definitions))
    if kind.model is Experiment:
        for key in ("tasks", "models", "variants"):
            result["properties"][key] = _names_or_mapping(result["properties"][key])
    if kind.model is Task:  # a child inherits the keys that it does not state
        result["anyOf"] = [{"required": ["parent"]}, {"required": result.pop("required")}]
    if kind.entries:
        result = {"type": "object", "additionalProperties": {k: v for k, v in result.items() if k != "$defs"}}
        result["$defs"] = definitions
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}


def _walk(node: Any, change: Callable[[Schema], None]) -> None:
    if isinstance(node, dict):
        change(node)
        for inner in list(node.values()):
            _walk(inner, change)


def _name_protocol_values(node: Schema, definitions: Schema) -> None:
    """Allow only protocol values in ``settings`` and in the changes of tasks and models."""
    if node.get("title") == Tuning.__name__:  # its settings are search ranges
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
    result = Protocol.model_json_schema()
    definitions |= result.get("$defs", {})
    return dict(result["properties"])


def _names_or_mapping(facts: Schema) -> Schema:
    """Return the schema of a mapping that may also be a list of names, or have empty values."""
    described: Schema = {key: facts[key] for key in ("description", "title") if key in facts}
    mapping = {key: value for key, value in facts.items() if key not in described}
    mapping["additionalProperties"] = {"anyOf": [facts["additionalProperties"], {"type": "null"}]}
    names = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
    return {**described, "anyOf": [names, mapping]}
