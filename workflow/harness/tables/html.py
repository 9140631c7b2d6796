"""Tables as HTML pages: sortable, filterable, without any file or network access."""

from html import escape

from harness.tables.table import Table
from harness.tables.writers import without_bold

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a; }
h1 { font-size: 1.3rem; }
.banner { color: #a00; font-weight: bold; }
input { font: inherit; padding: .3rem .5rem; margin: .5rem 0 1rem; width: 22rem; max-width: 100%; }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; white-space: nowrap; }
th { border-bottom: 1px solid; vertical-align: bottom; }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tbody tr:hover { background: #f2f2f2; }
.notes { max-width: 60rem; font-size: .9rem; }
"""

SCRIPT = """
const body = document.querySelector('tbody');
const value = (row, i) => {
  const text = row.cells[i].textContent.trim();
  const number = parseFloat(text.replace(/,/g, ''));
  return /^[-+]?[\\d.]/.test(text) && !isNaN(number) ? number : text === '-' ? null : text;
};
const compare = (a, b) =>
  a === b ? 0 : a === null ? 1 : b === null ? -1 :
  typeof a === typeof b ? (a < b ? -1 : 1) : typeof a === 'number' ? -1 : 1;
document.querySelectorAll('th').forEach((th, i) => th.addEventListener('click', () => {
  const down = th.getAttribute('aria-sort') === 'ascending';
  document.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
  th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const key = row => value(row, i);
  [...body.rows].sort((a, b) => key(a) === null || key(b) === null ? compare(key(a), key(b))
    : (down ? -1 : 1) * compare(key(a), key(b))).forEach(row => body.append(row));
}));
document.querySelector('input').addEventListener('input', event => {
  const words = event.target.value.toLowerCase().split(/\\s+/);
  for (const row of body.rows)
    row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
});
"""


def cell(text: str) -> str:
    """Return the text of a cell as HTML."""
    plain = without_bold(text)
    return f"<b>{escape(plain)}</b>" if plain != text else escape(text)


def html(table: Table) -> str:
    """Return the table as an HTML page; the titles of the blocks are the first column."""
    head = "".join(
        f'<th scope="col"><button>{escape(t)}</button></th>' for t in [table.blocked_by, *table.head]
    )
    rows = [
        "<tr>" + "".join(f"<td>{cell(text)}</td>" for text in [block.title, *row]) + "</tr>"
        for block in table.blocks
        for row in block.rows
    ]
    banner = f'<p class="banner">{escape(table.banner)}</p>\n' if table.banner else ""
    about = f"<p>{escape(table.about)}</p>\n" if table.about else ""
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in table.notes)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(table.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(table.title)}</h1>\n{banner}{about}"
        '<input type="search" placeholder="show rows with these words" aria-label="filter">\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>\n"
        f'<div class="notes">\n{notes}\n</div>\n<script>{SCRIPT}</script>\n</body>\n</html>\n'
    )
