"""``make docs``: write the pages and schemas that are made from code."""

from harness.manual.pages import pages
from harness.paths import shown
from harness.runs.atomic import write_text

for path, text in pages().items():
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
        print(shown(path))
