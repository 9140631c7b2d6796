"""Everything that is made from code: pages of the reference, and JSON schemas."""

import json
from pathlib import Path

from harness.manual import commands, configuration
from harness.manual.kinds import KINDS, SCHEMAS, schema
from harness.paths import ROOT

REFERENCE = ROOT / "docs" / "reference"


def pages() -> dict[Path, str]:
    """Return each file with its content."""
    found = {
        REFERENCE / "commands.md": commands.page(),
        REFERENCE / "configuration.md": configuration.page(),
    }
    return found | {
        SCHEMAS / f"{kind.name}.json": json.dumps(schema(kind), indent=1) + "\n" for kind in KINDS
    }
