"""Tables as Markdown, LaTeX (booktabs) and CSV. The same table gives the same bytes."""

import csv
import io
from typing import Any

from tabulate import tabulate

from harness.tables.table import Table

SPECIAL = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
SPECIAL |= {c: f"\\{c}" for c in "&%$#_{}"}
SPECIAL |= {
    "<": "$<$",
    ">": "$>$",
    "±": "$\\pm$",
    "†": "$\\dagger$",
    "‡": "$\\ddagger$",
    "↓": "$\\downarrow$",
    "⇓": "$\\Downarrow$",
    "|": "\\textbar{}",
}
SPECIAL |= {"§": "\\S{}", "¶": "\\P{}", "≤": "$\\leq$", "−": "$-$"}
SPECIAL |= {"≠": "$\\neq$", "[": "{[}", "]": "{]}"}


def markdown(table: Table) -> str:
    """Return the table as Markdown, with one section per block if there are several."""
    parts = [f"# {table.title}"]
    parts += [f"**{table.banner}**"] if table.banner else []
    parts += [table.about] if table.about else []
    for block in table.blocks:
        parts += [f"## {block.title}"] if len(table.blocks) > 1 else []
        rows = [[text.replace("|", "\\|") for text in row] for row in block.rows]
        parts.append(tabulate(rows, headers=table.head, tablefmt="github", disable_numparse=True))
    return "\n\n".join([*parts, *table.notes]) + "\n"


def latex(table: Table) -> str:
    """Return the table as LaTeX, for the package booktabs."""
    width = len(table.head)
    lines = ["\\begin{table}", "\\centering", "\\small", f"\\begin{{tabular}}{{{'l' * width}}}", "\\toprule"]
    lines.append(_row(table.head))
    for block in table.blocks:
        lines.append("\\midrule")
        if len(table.blocks) > 1:
            lines.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{escape(block.title)}}}}} \\\\")
        lines += [_row(row) for row in block.rows]
    banner = f"\\textbf{{{escape(table.banner)}}} " if table.banner else ""
    caption = escape(" ".join([f"{table.title}.", table.about, *table.notes]))
    lines += ["\\bottomrule", "\\end{tabular}", f"\\caption{{{banner}{caption}}}", "\\end{table}"]
    return "\n".join(lines) + "\n"


def _row(texts: list[str]) -> str:
    return " & ".join(_cell(text) for text in texts) + " \\\\"


def _cell(text: str) -> str:
    plain = without_bold(text)
    return f"\\textbf{{{escape(plain)}}}" if plain != text else escape(text)


def without_bold(text: str) -> str:
    """Return the text of a cell without the asterisks that make it bold."""
    return text[2:-2] if text.startswith("**") and text.endswith("**") else text


def escape(text: str) -> str:
    """Return ``text`` with TeX's special characters escaped."""
    return "".join(SPECIAL.get(c, c) for c in text)


def csv_text(table: Table) -> str:
    """Return the numbers of the table as CSV, after a comment with the banner, if there is one."""
    out = io.StringIO()
    out.write(f"# {table.banner}\n" if table.banner else "")
    names = list(dict.fromkeys(name for line in table.numbers for name in line))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_plain(line.get(name)) for name in names] for line in table.numbers)
    return out.getvalue()


def _plain(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else "" if value is None else str(value)
