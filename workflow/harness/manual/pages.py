"""Everything made from code: pages of the reference, JSON schemas, and the lines that name them."""

import json
from pathlib import Path

from harness.manual import commands, configuration
from harness.manual.kinds import KINDS, SCHEMAS, Kind, files, header, schema
from harness.paths import ROOT

REFERENCE = ROOT / "docs" / "reference"


def pages() -> dict[Path, str]:
    """Return each file with its content."""
    found = {
        REFERENCE / "commands.md": commands.page(),
        REFERENCE / "configuration.md": configuration.page(),
    }
    for kind in (kind for kind in KINDS if not kind.written):
        found[SCHEMAS / f"{kind.name}.json"] = json.dumps(schema(kind), indent=1) + "\n"
        found |= {path: _headed(kind, path) for path in files(kind)}
    return found


def _headed(kind: Kind, path: Path) -> str:
    """Return a shipped file with the line on top that names its schema."""
    text, line = path.read_text(encoding="utf-8"), header(kind, path)
    return text if text.startswith(f"{line}\n") else f"{line}\n{text}"
