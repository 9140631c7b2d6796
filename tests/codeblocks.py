"""Code blocks of Markdown files, and what an HTML comment above one says of its test."""

import re
from dataclasses import dataclass
from pathlib import Path

UNTESTED = {
    "cluster": "needs SLURM",
    "network": "needs a network",
    "data": "needs data that may not be shipped",
    "long": "takes long; its commands are checked by a dry run",
    "parsed": "an example of usage; its commands are parsed",
}
"""The only reasons for which a block is not run."""
MARKER = re.compile(r"^<!-- (?P<word>[a-z]+)(: (?P<value>.*))? -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    place: str
    """``docs/faq.md:12``."""
    language: str
    text: str
    word: str = ""
    """What the comment above it says: a reason of ``UNTESTED``, ``file`` or ``with``."""
    value: str = ""

    def commands(self) -> list[tuple[str, list[str]]]:
        """Return the commands of a console block, each with the output that is shown below it."""
        found: list[tuple[str, list[str]]] = []
        for line in self.replaced().replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((" ".join(line[2:].split()), []))
            elif found:
                found[-1][1].append(line)
        return found

    def replaced(self) -> str:
        """Return the text with the replacements that ``with: OLD -> NEW; OLD -> NEW`` names."""
        text = self.text
        for pair in self.value.split(";") if self.word == "with" else []:
            old, _, new = (part.strip() for part in pair.partition("->"))
            assert old in text, f"{self.place}: {old!r} is not there to be replaced"
            text = text.replace(old, new)
        return text


def blocks(path: Path, root: Path) -> list[Block]:
    """Return the fenced blocks of a file in their order.

    Raises:
        AssertionError: a block is indented instead of fenced, is not closed, or its comment is not known.
    """
    found, above, fence = [], "", None
    name = path.relative_to(root)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        place = f"{name}:{number}"
        if fence is not None:
            if line.startswith("```"):
                found.append(_block(*fence))
                fence = None
            else:
                fence[2].append(line)
        elif line.startswith("```"):
            fence = (place, line[3:].strip(), list[str](), above)
        else:
            assert above or not line.startswith("    "), f"{place}: a block needs a fence and a language"
        above = line.strip()
    assert fence is None, f"{fence}: a block is not closed"
    return found


def _block(place: str, language: str, lines: list[str], above: str) -> Block:
    marker = MARKER.match(above)
    word, value = (marker["word"], marker["value"] or "") if marker else ("", "")
    known = {*UNTESTED, "file", "with", ""}
    assert word in known, f"{place}: unknown comment {word!r}; valid: {', '.join(sorted(known))}"
    return Block(place, language, "\n".join(lines) + "\n", word, value)
