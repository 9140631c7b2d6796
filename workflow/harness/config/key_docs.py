"""Keys of typed models in words: values, default, meaning."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

NAMES = {
    "null": "null",
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}
LIMITS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


@dataclass(frozen=True)
class Key:
    """One key of a model."""

    name: str
    values: str
    default: str
    """The default as YAML, or ``required``."""
    about: str


def keys(model: type[BaseModel]) -> Iterator[Key]:
    """Yield the keys of ``model`` in their order."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    for name, facts in schema["properties"].items():
        default = facts.get("default")
        text = default if default and isinstance(default, str) else json.dumps(default)
        yield Key(name, values(facts), "required" if name in required else text, facts.get("description", ""))


def values(facts: dict[str, Any]) -> str:
    """Return in words the values that a JSON schema allows."""
    if "anyOf" in facts:
        return " or ".join(dict.fromkeys(values(alternative) for alternative in facts["anyOf"]))
    if "enum" in facts or "const" in facts:
        return ", ".join(str(value) for value in facts.get("enum", [facts.get("const")]))
    if "$ref" in facts:
        return str(facts["$ref"].rpartition("/")[2])
    kind = facts.get("type")
    if "prefixItems" in facts:
        return f"list: {', '.join(values(item) for item in facts['prefixItems'])}"
    if kind == "array":
        return f"list of {values(facts['items'])}" if "items" in facts else "list"
    if kind == "object":
        inner = facts.get("additionalProperties")
        return f"mapping to {values(inner)}" if isinstance(inner, dict) else "mapping"
    limits = ", ".join(text.format(facts[key]) for key, text in LIMITS.items() if key in facts)
    return ", ".join(part for part in (NAMES.get(str(kind), str(kind or "any value")), limits) if part)
