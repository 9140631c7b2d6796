"""Figures of studies: history, importance and slices of each, and the expected best score of n trials."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.tuned import TrialRecord
from harness.figures.style import PAGE, drawing, image_paths, light_grid, styles, write_caption
from harness.plan.searches import Search, searches, settled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.distributions import BaseDistribution

COLUMNS = 4
FEWEST = 4
"""Complete trials below which no importance is computed."""
SAMPLED, DEFAULTS = "#0072B2", "#D55E00"


def write_study_figures(folder: Path, target: Path) -> list[Path]:
    """Write the figures and captions of every study of an experiment's folder; return the paths.

    ``search-<task>-<model>-<variant>`` and ``expected-best-<task>-<model>``, below ``target``.
    """
    current = [s for s in searches(folder) if s.path.stem == s.tuned.variant]
    groups: dict[str, list[Search]] = {}
    paths: list[Path] = []
    for search in current:
        task, model, variant = search.name.split("/")
        groups.setdefault(f"expected-best-{task}-{model}", []).append(search)
        path = target / f"search-{task}-{model}-{variant}"
        draw_study(search, path)
        paths += [*image_paths(path).values(), write_caption(path, _study_caption(search))]
    for name, group in groups.items():
        path = target / name
        draw_expected_best(group, path)
        paths += [*image_paths(path).values(), write_caption(path, _expected_caption(group))]
    return paths


def _study_caption(search: Search) -> str:
    return (
        f"Study of {search.name}: n = {len(settled(search.records))} trials, scored on the selection split; "
        "hollow points were pruned. Line: best score so far. Dotted: the defaults. Dashed: the best value. "
        "Importance: share of the variance of scores that an argument explains (fANOVA)."
    )


def _expected_caption(group: Sequence[Search]) -> str:
    counts = [f"{len(sampled_scores(s.records))} for {s.tuned.variant}" for s in group]
    return (
        "Expected best score on the selection split of n random trials (Dodge et al. 2019), from n = "
        f"{', '.join(counts)} trials, without the defaults."
    )


def draw_study(search: Search, path: Path) -> None:
    """Draw scores by trial, the importance of each dimension, and scores along each dimension."""
    records = settled(search.records)
    names = [name for name in search.tuned.space if name in records[0].values]
    rows = -(-(2 + len(names)) // COLUMNS)
    with drawing(path, rows, COLUMNS, width=PAGE, height=1.7) as (figure, axes):
        figure.suptitle(f"{search.name}: search on the selection split", fontsize=8)
        _history(axes[0], records, _metric(search))
        _importance(axes[1], importances(search))
        for name, panel in zip(names, axes[2:], strict=False):
            _slice(panel, name, search.tuned.space[name], records, search)
        for panel in axes[2 + len(names) :]:
            panel.set_visible(False)


def _metric(search: Search) -> str:
    return "/".join(dict.fromkeys(search.tuned.selection.get("metric", {}).values())) or "score"


def _history(axes: "Axes", records: list[TrialRecord], metric: str) -> None:
    """Draw each trial, the best score so far, and the defaults; hollow points were pruned."""
    best: list[float] = []
    for number, record in enumerate(records, 1):
        _point(axes, number, record)
        last = best[-1] if best else float("-inf")
        best.append(max(last, 100 * record.score) if record.score is not None else last)
    axes.step(range(1, len(best) + 1), best, where="post", color=DEFAULTS)
    defaults = next((record.score for record in records if record.defaults), None)
    if defaults is not None:
        axes.axhline(100 * defaults, color="0.6", linestyle=":", linewidth=0.8)
    axes.set(xlabel="trial (dotted: the defaults)", ylabel=f"{metric} (%)", title="history")
    _integer_axis(axes)
    light_grid(axes)


def _integer_axis(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _point(axes: "Axes", x: Any, record: TrialRecord) -> None:
    score = record.score if record.score is not None else record.last_score
    if score is not None:
        colour = DEFAULTS if record.defaults else SAMPLED
        face = colour if record.score is not None else "none"
        axes.plot(x, 100 * score, "o", ms=3.5, color=colour, mfc=face, clip_on=False)


def _importance(axes: "Axes", shares: dict[str, float]) -> None:
    axes.set_title("importance (fANOVA)")
    if not shares:
        text = "too few trials,\nor equal scores"
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7)
        axes.set_axis_off()
        return
    names = list(reversed(shares))
    axes.barh(names, [shares[name] for name in names], color="0.6", height=0.7)
    axes.set_xlim(0, 1)
    light_grid(axes, "x")


def _slice(axes: "Axes", name: str, dimension: Any, records: list[TrialRecord], search: Search) -> None:
    """Draw the scores along one dimension, over its complete range, with the best value."""
    from matplotlib.ticker import NullFormatter

    for record in records:
        value = record.values.get(name)
        _point(axes, str(value) if isinstance(dimension, list) else value, record)
    if isinstance(dimension, dict) and dimension["log"]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())  # its numbers would overlap
    if isinstance(dimension, dict):
        axes.set_xlim(dimension["low"], dimension["high"])
    best: Any = search.tuned.values[name]
    position: Any = str(best) if isinstance(dimension, list) else best
    axes.axvline(position, color="0.6", linestyle="--", linewidth=0.8)
    axes.set_xlabel(name)
    light_grid(axes)


def importances(search: Search) -> dict[str, float]:
    """Return the share of the scores' variance that each dimension explains, largest first.

    fANOVA over the complete trials (Hutter et al. 2014; Optuna's, with a fixed seed). Empty if there are too
    few of them, or if all scores are equal.
    """
    import optuna

    complete = [record for record in search.records if record.score is not None]
    if len(complete) < FEWEST or len({record.score for record in complete}) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    names = [name for name in search.tuned.space if name in complete[0].values]
    distributions = {name: _distribution(search.tuned.space[name]) for name in names}
    for record in complete:
        params = {name: record.values[name] for name in names}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=record.score)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _distribution(dimension: Any) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(dimension, list):
        return CategoricalDistribution(dimension)
    return FloatDistribution(dimension["low"], dimension["high"], log=dimension["log"])


def draw_expected_best(group: Sequence[Search], path: Path) -> None:
    """Draw, for each variant, the expected best score of n trials."""
    by_variant = styles(search.tuned.variant for search in group)
    with drawing(path, width=PAGE / 2, height=2.4) as (_, (axes,)):
        for search in group:
            expected = expected_best(sampled_scores(search.records))
            numbers = range(1, len(expected) + 1)
            name = search.tuned.variant
            axes.plot(numbers, [100 * e for e in expected], label=name, **by_variant[name].line())
        axes.set(xlabel="trials", ylabel=f"expected best {_metric(group[0])} (%)")
        _integer_axis(axes)
        axes.legend()
        light_grid(axes)


def sampled_scores(records: list[TrialRecord]) -> list[float]:
    """Return the scores of the sampled trials: all but the defaults.

    A pruned trial has its last score; one that failed has the lowest score of all.
    """
    sampled = [record for record in settled(records) if not record.defaults]
    scores = [record.score if record.score is not None else record.last_score for record in sampled]
    present = [score for score in scores if score is not None]
    return [min(present) if score is None else score for score in scores] if present else []


def expected_best(scores: Sequence[float]) -> list[float]:
    """Return the expected best of n = 1, 2, ... draws from the empirical distribution of ``scores``.

    Dodge et al. 2019, Show Your Work (EMNLP), equation 1: sum over the sorted scores v_i of
    v_i ((i/N)^n - ((i-1)/N)^n). It assumes independent trials; a sampler that learns does better.
    """
    ordered, count = sorted(scores), len(scores)
    return [
        sum(v * ((i / count) ** n - ((i - 1) / count) ** n) for i, v in enumerate(ordered, 1))
        for n in range(1, count + 1)
    ]
