"""Strict YAML loading: a repeated key is an error, and so is a file that is not a mapping."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from harness.util.errors import HarnessError
from harness.util.paths import display_path


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """Safe loader that rejects repeated keys, of which YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: key {key!r} is repeated")
            keys.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


# In YAML 1.1, on, off, yes and no are booleans. Here, as in YAML 1.2, they are words, so that `dropout: off`
# is that value, and labels may be named yes and no.
BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOLEAN]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(BOOLEAN, re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
# In YAML 1.1, 2e-4 is a string (2.0e-4 is a number). Here it is a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


def read_value(text: str) -> Any:
    """Return the YAML value of ``text``, for instance of an option of a command.

    Raises:
        HarnessError: ``text`` is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise HarnessError(f"not a YAML value: {' '.join(str(error).split())}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in ``path``.

    Raises:
        HarnessError: the file is missing, is not YAML, repeats a key, or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise HarnessError(f"{display_path(path)}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise HarnessError(
            f"{display_path(path)}: not readable as YAML: {' '.join(str(error).split())}"
        ) from None
    if not isinstance(content, dict):
        raise HarnessError(
            f"{display_path(path)}: expected a mapping of keys to values, got {type(content).__name__}"
        )
    return content
