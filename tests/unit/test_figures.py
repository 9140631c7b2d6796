"""Figures and report: the same bytes each time, looks that can be message apart, files that appear whole."""

import re
from html import escape
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pytest
from support.experiments import toy_plan
from support.fake_runs import plant

from harness.config import catalogue
from harness.figures import style
from harness.figures.build import DRAW, write_figures
from harness.figures.curves import expected_best
from harness.plan.outputs import FIGURE_FORMS, figures_of
from harness.plan.plan import Plan
from harness.report.render import render
from harness.results.export import export
from harness.results.frame import build_frame


def drawn(path: Path) -> dict[str, bytes]:
    with style.drawing(path, width=3.4) as (_, (axes,)):
        axes.plot([1, 2], [3, 4], **style.styles(["mat"])["mat"].line())
        axes.set_xlabel("batches")
    return {form: file.read_bytes() for form, file in style.image_paths(path).items()}


def test_a_figure_has_the_same_bytes_each_time_and_touches_no_global_state(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    first, second = drawn(tmp_path / "a.b"), drawn(tmp_path / "c")
    assert first == second and first["png"][:4] == b"\x89PNG" and first["pdf"][:4] == b"%PDF"
    assert b"Date" not in first["pdf"] and b"matplotlib" not in first["png"].lower()
    assert dict(matplotlib.rcParams) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.b.pdf", "a.b.png", "c.pdf", "c.png"]


def test_a_figure_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), style.drawing(tmp_path / "a"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_every_variant_has_a_look_of_its_own_that_does_not_depend_on_the_others() -> None:
    names = [*catalogue.variants(), *(f"mine-{i}" for i in range(30))]
    found = style.styles(names)
    assert len(set(found.values())) == len(names)
    assert style.styles(["mat", "own"])["mat"] == found["mat"]
    main = [found[name] for name in ("vanilla", "freelb", "smart", "mat")]
    for part in ("colour", "marker", "dashes"):
        assert len({str(getattr(look, part)) for look in main}) == 4
    tuned = style.styles(["vanilla", "mat", "vanilla-tuned", "mat-tuned"])
    assert len({look.colour for look in tuned.values()}) == 4


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return toy_plan(
        tmp_path,
        tasks=["rotten_tomatoes", "stsb"],
        variants=["vanilla", "freelb", "mat"],
        seeds=[1, 2, 3],
        settings={"epochs": 3, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16},
    )


def drawn_all(plan: Plan, folder: Path) -> dict[str, bytes]:
    runs = build_frame(plan)
    return {p.name: p.read_bytes() for p in write_figures(plan.as_file(), runs, {}, folder)}


def test_every_figure_is_drawn_of_whatever_runs_exist_and_its_caption_says_how_many(
    plan: Plan, tmp_path: Path
) -> None:
    names = {f"{name}.{form}" for name in DRAW for form in FIGURE_FORMS}
    assert set(drawn_all(plan, tmp_path / "none")) == names
    for run in plan.runs:
        if run.name != "stsb/tiny/mat/seed3":
            status = "collapsed" if run.seed == 1 else "ok"
            plant(plan, run, 0.5 + run.seed / 10, status, curve=[(2, 0.5), (4, 0.7), (6, 0.6)])
    some = drawn_all(plan, tmp_path / "some")
    assert some == drawn_all(plan, tmp_path / "again") and set(some) == names
    assert (
        (tmp_path / "none" / "seeds.txt")
        .read_text()
        .startswith("Score of every seed on the report split (n = 0 runs per cell)")
    )
    for name in DRAW:
        assert b"n = 2 to 3" in some[f"{name}.txt"]


def test_which_figures_there_are_is_known_from_the_plan(plan: Plan, tmp_path: Path) -> None:
    assert figures_of(plan.as_file()) == list(DRAW)
    (tmp_path / "one").mkdir()
    alone = toy_plan(tmp_path / "one")
    assert figures_of(alone.as_file()) == ["seeds"]


def test_the_expected_best_of_many_evaluations_is_exact() -> None:
    curve = [0.5, 0.9, 0.7, 0.6]
    for k, found in enumerate(expected_best(curve, 4), 1):
        best = [max(0.6, *others) if others else 0.6 for others in combinations(curve[:-1], k - 1)]
        assert found == pytest.approx(fmean(best) - 0.6)
    assert expected_best([0.4], 1) == [0.0]


def test_the_expected_best_of_thousands_of_evaluations_is_a_number() -> None:
    """Binomials of that size are no floats."""
    found = expected_best([i / 2000 for i in range(2000)][::-1], 2000)
    assert found[1] == pytest.approx(fmean(i / 2000 for i in range(1, 2000)))
    assert found[-1] == pytest.approx(1999 / 2000)


def test_the_report_holds_everything_and_reaches_for_nothing(plan: Plan) -> None:
    for run in plan.runs[:-1]:
        plant(plan, run, 0.5, subset="<b>&", curve=[(2, 0.5), (4, 0.7)])
    export(plan)
    *files, path = render(plan.as_file(), plan.folder, plan.folder, "# toy: 1 failed <here>")
    text = path.read_text()
    assert path == plan.folder / "report.html" and files[0].name == "main.md"
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    assert set(re.findall(r'src="([^,"]*)', text)) == {"data:image/png;base64"}
    links, anchors = re.findall(r'href="#([^"]*)"', text), re.findall(r'id="([^"]*)"', text)
    assert links == anchors and text.count("href=") == len(links)
    tables = {f"table-{p.stem}" for p in files if p.suffix == ".md"}
    assert set(anchors) == tables | {f"figure-{name}" for name in DRAW} | {
        "coverage", "failures", "environment",
    }  # fmt: skip
    assert "&lt;b&gt;&amp;" in text and "1 failed &lt;here&gt;" in text and "<here>" not in text
    assert "2/3: 1 missing" in text and "c0ffee" in text
    for name in DRAW:
        caption = (plan.folder / "figures" / f"{name}.txt").read_text().strip()
        assert f"<figcaption>{escape(caption)}</figcaption>" in text
    first = path.read_bytes()
    render(plan.as_file(), plan.folder, plan.folder, "# toy: 1 failed <here>")
    assert path.read_bytes() == first
