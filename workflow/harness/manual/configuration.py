"""The page on configuration files, from the models that check them."""

from collections.abc import Iterator

from pydantic import BaseModel

from harness.manual.fields import keys
from harness.manual.kinds import KINDS, Kind
from harness.plan.strict import nested_models

HEAD = """\
# Configuration files

<!-- Written by `make docs` from the models in workflow/harness/plan. -->

A key that is not listed here is a mistake, and is told with the nearest one. The first line of each file in
`config/` names its JSON schema (`config/schema`), by which editors complete and check keys as you type.
Arguments of methods: `python -m harness methods`.
"""


def page() -> str:
    """Return ``docs/reference/configuration.md``."""
    return "\n".join([HEAD, *(line for kind in KINDS for line in _section(kind))])


def _section(kind: Kind) -> Iterator[str]:
    each = ", one for each name" if kind.entries else ", written by a command" if kind.written else ""
    yield f"## {kind.name.capitalize()}: `{kind.files}`{each}\n"
    for number, model in enumerate(with_nested(kind.model)):
        if number:
            yield f"### {model.__name__}\n"
        yield f"{_paragraph(model)}\n"
        yield "| key | values | default | meaning |\n|---|---|---|---|"
        for key in keys(model):
            yield f"| `{key.name}` | {_cell(key.values)} | `{_cell(key.default)}` | {_cell(key.about)} |"
        yield ""


def with_nested(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the model and, once each, the models in its keys and theirs."""
    found = [model]
    for one in found:
        for field in one.model_fields.values():
            found += [inner for inner in nested_models(field.annotation) if inner not in found]
    return found


def _paragraph(model: type[BaseModel]) -> str:
    lines = (model.__doc__ or "").strip().splitlines()
    return " ".join(" ".join(lines).split()).replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
