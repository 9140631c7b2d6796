"""Code blocks of Markdown files, with the HTML comment above each that says how it is tested."""

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
COMMENT = re.compile(r"^<!-- (?P<word>[a-z]+)(: (?P<value>.*))? -->$")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
ANCHOR = re.compile(r'^<a id="(?P<id>[^"]+)"></a>$|^#+ (?P<heading>.+)$', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    place: str
    """``docs/faq.md:12``."""
    language: str
    text: str
    word: str = ""
    """The word of the comment above it: a reason of ``UNTESTED``, ``file`` or ``with``."""
    value: str = ""

    def commands(self) -> list[tuple[str, list[str]]]:
        """Return the commands of a console block, each with the output that is shown below it."""
        commands: list[tuple[str, list[str]]] = []
        for line in self.replaced().replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                commands.append((" ".join(line[2:].split()), []))
            elif commands:
                commands[-1][1].append(line)
        return commands

    def replaced(self) -> str:
        """Return the text with the replacements of ``with: OLD -> NEW; OLD -> NEW``."""
        text = self.text
        for pair in self.value.split(";") if self.word == "with" else []:
            old, _, new = (part.strip() for part in pair.partition("->"))
            assert old in text, f"{self.place}: {old!r} does not occur in the block"
            text = text.replace(old, new)
        return text


def blocks(path: Path, root: Path) -> list[Block]:
    """Return the fenced blocks of a file in their order.

    Raises:
        AssertionError: a block is indented instead of fenced or is not closed, or its comment is unknown.
    """
    page_blocks: list[Block] = []
    above, fence = "", None
    name = path.relative_to(root)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        place = f"{name}:{number}"
        if fence is not None:
            if line.startswith("```"):
                page_blocks.append(_block(*fence))
                fence = None
            else:
                fence[2].append(line)
        elif line.startswith("```"):
            fence = (place, line[3:].strip(), list[str](), above)
        else:
            assert above or not line.startswith("    "), f"{place}: a block needs a fence and a language"
        above = line.strip()
    assert fence is None, f"{fence}: a block is not closed"
    return page_blocks


def _block(place: str, language: str, lines: list[str], above: str) -> Block:
    comment = COMMENT.match(above)
    word, value = (comment["word"], comment["value"] or "") if comment else ("", "")
    valid = {*UNTESTED, "file", "with", ""}
    assert word in valid, f"{place}: unknown comment {word!r}; valid: {', '.join(sorted(valid))}"
    return Block(place, language, "\n".join(lines) + "\n", word, value)


def broken_links(path: Path) -> list[str]:
    """Return the links of a file to local files or headings that do not exist."""
    targets = [match["target"] for match in LINK.finditer(path.read_text(encoding="utf-8"))]
    return [target for target in targets if "://" not in target and not _exists(path, target)]


def _exists(path: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    page = path.parent / name if name else path
    return page.exists() and (not anchor or anchor in _anchors(page))


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a Markdown file: explicit ones, and those of its headings."""
    matches = ANCHOR.finditer(path.read_text(encoding="utf-8"))
    return {m["id"] or re.sub(r"[^\w -]", "", m["heading"].lower()).replace(" ", "-") for m in matches}
