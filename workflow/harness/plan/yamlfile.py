"""YAML files read strictly: a key given twice is a mistake, and so is a file that is no mapping."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from harness.errors import HarnessError
from harness.paths import shown


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """Safe loader that refuses repeated keys (YAML lets the last one win in silence)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: key {key!r} is given twice")
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


# YAML 1.1 takes 2e-4 for a text (it wants 2.0e-4); here it is the number that it looks like.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


def read_value(text: str) -> Any:
    """Return the YAML value in a piece of text, a command line's ``--set`` for instance."""
    return yaml.load(text, Loader=_Loader)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in ``path``.

    Raises:
        HarnessError: the file is missing, is not YAML, repeats a key, or holds no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise HarnessError(f"{shown(path)}: there is no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise HarnessError(f"{shown(path)}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise HarnessError(
            f"{shown(path)}: expected a mapping of keys to values, got {type(content).__name__}"
        )
    return content
