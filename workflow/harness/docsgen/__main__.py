"""``make docs``: write the pages and schemas that are generated from code."""

from harness.docsgen.pages import pages
from harness.util.files import write_text
from harness.util.paths import display_path

for path, text in pages().items():
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
        print(display_path(path))
