"""Is a LaTeX table sound? Compiled where a TeX is present, else checked by its rules."""

import re
import shutil
import subprocess
from pathlib import Path

ENGINE = next((name for name in ("tectonic", "pdflatex") if shutil.which(name)), None)
FRAME = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n%s\\end{document}\n"
COMMANDS = {
    "begin", "end", "centering", "small", "toprule", "midrule", "bottomrule", "caption", "multicolumn",
    "textit", "textbf", "textbackslash", "textasciitilde", "textasciicircum", "textbar", "pm", "dagger",
    "ddagger", "neq", "leq", "S", "P",
}  # fmt: skip


def compile_all(sources: list[str], folder: Path) -> None:
    """Compile the tables in one document."""
    path = folder / "all.tex"
    path.write_text(FRAME % "\n".join(sources), encoding="utf-8")
    done = subprocess.run([str(ENGINE), path.name], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check(source: str) -> None:
    """Raise AssertionError where the source breaks a rule of TeX or of booktabs."""
    assert source.isascii(), "a character outside ASCII"
    bare = re.sub(r"\\[&%$#_{}\\]", "", source)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0, "a brace is closed that was not opened"
    assert depth == 0, "a brace is not closed"
    assert bare.count("$") % 2 == 0, "an odd number of $"
    for special in "_%#^~":
        assert special not in bare, f"{special} is not escaped"
    unknown = set(re.findall(r"\\([a-zA-Z]+)", bare)) - COMMANDS
    assert not unknown, f"unknown commands {unknown}"
    for name in ("table", "tabular"):
        ends = source.count(f"\\end{{{name}}}")
        assert source.count(f"\\begin{{{name}}}") == ends == 1, f"{name} does not begin and end once"
    for rule in ("toprule", "bottomrule"):
        assert source.count(f"\\{rule}") == 1, f"{rule} does not stand once"
    _check_rows(source)


def _check_rows(source: str) -> None:
    inside = re.search(r"\\begin\{tabular\}\{(l+)\}\n(.*)\\end\{tabular\}", source, re.DOTALL)
    assert inside, "tabular has no columns"
    for line in inside[2].splitlines():
        if line.startswith(("\\toprule", "\\midrule", "\\bottomrule", "\\multicolumn")):
            continue
        assert line.endswith(" \\\\"), f"a row does not end: {line}"
        cells = len(re.findall(r"(?<!\\)&", line)) + 1
        assert cells == len(inside[1]), f"{cells} cells for {len(inside[1])} columns: {line}"
