"""Figures of searches: history, importance and slices of each, and what n trials are expected to find."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan.ledger import SETTLED, Record
from harness.report.figures.style import PAGE, drawing, files, light_grid, looks, write_caption
from harness.report.trials import Search, searches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
FEWEST = 4
"""Complete trials below which no importance is told."""
DRAWN, DEFAULTS = "#0072B2", "#D55E00"


def write_search_figures(folder: Path, target: Path) -> list[Path]:
    """Write the figures of every search of an experiment's folder, and their captions; return the files.

    ``search-<task>-<model>-<variant>`` and ``expected-best-<task>-<model>``, below ``target``.
    """
    found = [s for s in searches(folder) if s.path.stem == s.tuned.variant]
    groups: dict[str, list[Search]] = {}
    paths: list[Path] = []
    for search in found:
        task, model, variant = search.name.split("/")
        groups.setdefault(f"expected-best-{task}-{model}", []).append(search)
        path = target / f"search-{task}-{model}-{variant}"
        draw_search(search, path)
        paths += [*files(path).values(), write_caption(path, _search_caption(search))]
    for name, group in groups.items():
        path = target / name
        draw_expected_best(group, path)
        paths += [*files(path).values(), write_caption(path, _expected_caption(group))]
    return paths


def _search_caption(search: Search) -> str:
    records = [r for r in search.records if r["outcome"] in SETTLED]
    return (
        f"Search of {search.name}: n = {len(records)} trials, scored on the selection rows; hollow points "
        "were stopped early. Line: the best so far; dotted: the defaults; dashed: the value that was chosen. "
        "Importance: the share of the variance of scores that an argument explains (fANOVA)."
    )


def _expected_caption(group: Sequence[Search]) -> str:
    counts = [f"{len(drawn_scores(s.records))} for {s.tuned.variant}" for s in group]
    return (
        "The best score on the selection rows that so many random trials are expected to find (Dodge et al. "
        f"2019), from n = {', '.join(counts)} trials, without the defaults."
    )


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
        axes.plot(x, 100 * score, "o", ms=3.5, color=colour, mfc=colour if whole else "none", clip_on=False)


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
    """Draw the scores along one dimension, over all of it, with the value found."""
    from matplotlib.ticker import NullFormatter

    for record in records:
        value = record["values"].get(name)
        _point(axes, str(value) if isinstance(dimension, list) else value, record)
    if isinstance(dimension, dict) and dimension["log"]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())  # its numbers would run into each other
    if isinstance(dimension, dict):
        axes.set_xlim(dimension["low"], dimension["high"])
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
