"""Figures of searches: history, importance and slices of each, and what n trials are expected to find."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan.ledger import SETTLED, Record
from harness.report.figures.style import PAGE, drawing, files, light_grid, looks
from harness.report.trials import Search, searches
from harness.runs.atomic import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
"""Axes in a row."""
FEWEST = 4
"""Complete trials below which no importance is told."""
SEARCH = (
    "Trials of a search, on the selection rows: in their order with the best so far, the share of the "
    "scores' variance that each dimension explains (fANOVA over complete trials), and along each dimension. "
    "The defaults are orange, hollow points were stopped early, dashed lines are the values found."
)
EXPECTED_BEST = (
    "The best score on the selection rows that n trials are expected to find (Dodge et al. 2019), from the "
    "trials that were drawn: the defaults are not among them. It takes trials for independent draws; the "
    "sampler's are so only at first, and a stopped trial has its last score."
)
DRAWN, DEFAULTS = "#0072B2", "#D55E00"


def write_search_figures(source: Path, folder: Path) -> list[Path]:
    """Write the figures of the searches below ``source`` into ``folder``, with captions; return the files.

    ``search-<task>-<model>-<variant>`` and ``expected-best-<task>-<model>``.
    """
    groups: dict[str, list[Search]] = {}
    paths: list[Path] = []
    for search in searches(source):
        if search.path.stem == search.tuned.variant:  # others are set aside
            task, model, variant = search.name.split("/")
            groups.setdefault(f"expected-best-{task}-{model}", []).append(search)
            path = folder / f"search-{task}-{model}-{variant}"
            draw_search(search, path)
            paths += _captioned(path, SEARCH)
    for name, group in groups.items():
        draw_expected_best(group, folder / name)
        paths += _captioned(folder / name, EXPECTED_BEST)
    return paths


def _captioned(path: Path, caption: str) -> list[Path]:
    text = path.with_name(f"{path.name}.txt")
    write_text(text, f"{caption}\n")
    return [*files(path).values(), text]


def draw_search(search: Search, path: Path) -> None:
    """Draw scores by trial, the importance of each dimension, and scores along each dimension."""
    records = [r for r in search.records if r["outcome"] in SETTLED]
    names = [name for name in search.tuned.space if name in records[0]["values"]]
    rows = -(-(2 + len(names)) // COLUMNS)
    with drawing(path, rows, COLUMNS, width=PAGE, height=1.7) as (figure, axes):
        figure.suptitle(f"{search.name}: search on the selection rows", fontsize=8)
        _history(axes[0], records, _metric(search))
        _importance(axes[1], importances(search))
        for name, one in zip(names, axes[2:], strict=False):
            _slice(one, name, search.tuned.space[name], records, search)
        for one in axes[2 + len(names) :]:
            one.set_visible(False)


def _metric(search: Search) -> str:
    return "/".join(dict.fromkeys(search.tuned.selection.get("metric", {}).values())) or "score"


def _history(axes: "Axes", records: list[Record], metric: str) -> None:
    """Draw each trial, the best so far, and the defaults; hollow points were stopped."""
    best: list[float] = []
    for number, record in enumerate(records, 1):
        _point(axes, number, record)
        score = record["score"]
        last = best[-1] if best else float("-inf")
        best.append(max(last, 100 * score) if score is not None else last)
    axes.step(range(1, len(best) + 1), best, where="post", color=DEFAULTS)
    defaults = next((r["score"] for r in records if r["defaults"]), None)
    if defaults is not None:
        axes.axhline(100 * defaults, color="0.6", linestyle=":", linewidth=0.8)
    axes.set(xlabel="trial (dotted: the defaults)", ylabel=f"{metric} (%)", title="history")
    _whole_numbers(axes)
    light_grid(axes)


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _point(axes: "Axes", x: Any, record: Record) -> None:
    score = record["score"] if record["score"] is not None else record["last_score"]
    if score is not None:
        whole = record["score"] is not None
        colour = DEFAULTS if record["defaults"] else DRAWN
        axes.plot(x, 100 * score, "o", markersize=3.5, color=colour, mfc=colour if whole else "none")


def _importance(axes: "Axes", found: dict[str, float]) -> None:
    axes.set_title("importance (fANOVA)")
    if not found:
        axes.text(0.5, 0.5, "too few trials,\nor all alike", ha="center", va="center", fontsize=7)
        axes.set_axis_off()
        return
    names = list(reversed(found))
    axes.barh(names, [found[name] for name in names], color="0.6", height=0.7)
    axes.set_xlim(0, 1)
    light_grid(axes, "x")


def _slice(axes: "Axes", name: str, dimension: Any, records: list[Record], search: Search) -> None:
    for record in records:
        value = record["values"].get(name)
        _point(axes, str(value) if isinstance(dimension, list) else value, record)
    if isinstance(dimension, dict) and dimension["log"]:
        axes.set_xscale("log")
    axes.axvline(_as_drawn(search.tuned.values[name], dimension), color="0.6", linestyle="--", linewidth=0.8)
    axes.set_xlabel(name)
    light_grid(axes)


def _as_drawn(value: Any, dimension: Any) -> Any:
    return str(value) if isinstance(dimension, list) else value


def importances(search: Search) -> dict[str, float]:
    """Return the share of the scores' variance that each dimension explains, largest first.

    fANOVA over the complete trials (Hutter et al. 2014; Optuna's, with a fixed seed); empty where there
    are too few of them, or all scores are equal.
    """
    import optuna

    complete = [r for r in search.records if r["score"] is not None]
    if len(complete) < FEWEST or len({r["score"] for r in complete}) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    names = [name for name in search.tuned.space if name in complete[0]["values"]]
    kinds = {name: _distribution(search.tuned.space[name]) for name in names}
    for record in complete:
        values = {name: record["values"][name] for name in names}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=kinds, value=record["score"]))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _distribution(dimension: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(dimension, list):
        return CategoricalDistribution(dimension)
    return FloatDistribution(dimension["low"], dimension["high"], log=dimension["log"])


def draw_expected_best(group: Sequence[Search], path: Path) -> None:
    """Draw, for each variant, the best score that n trials are expected to find."""
    styles = looks(search.tuned.variant for search in group)
    with drawing(path, width=PAGE / 2, height=2.4) as (_, (axes,)):
        for search in group:
            expected = expected_best(drawn_scores(search.records))
            numbers = range(1, len(expected) + 1)
            name = search.tuned.variant
            axes.plot(numbers, [100 * e for e in expected], label=name, **styles[name].curve())
        axes.set(xlabel="trials", ylabel=f"expected best {_metric(group[0])} (%)")
        _whole_numbers(axes)
        axes.legend()
        light_grid(axes)


def drawn_scores(records: list[Record]) -> list[float]:
    """Return the scores of the trials that were drawn: all but the defaults.

    A stopped trial has its last score, one that failed the lowest of all.
    """
    drawn = [r for r in records if r["outcome"] in SETTLED and not r["defaults"]]
    found = [r["score"] if r["score"] is not None else r["last_score"] for r in drawn]
    known = [score for score in found if score is not None]
    return [min(known) if score is None else score for score in found] if known else []


def expected_best(scores: Sequence[float]) -> list[float]:
    """Return the expected best of n = 1, 2, ... draws from the empirical law of ``scores``.

    Dodge et al. 2019, Show Your Work (EMNLP), equation 1: sum over the sorted scores v_i of
    v_i ((i/N)^n - ((i-1)/N)^n). It takes trials for independent draws; a sampler that learns does better.
    """
    ordered, count = sorted(scores), len(scores)
    return [
        sum(v * ((i / count) ** n - ((i - 1) / count) ** n) for i, v in enumerate(ordered, 1))
        for n in range(1, count + 1)
    ]
