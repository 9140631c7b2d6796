"""Searches at work: fair, exact in what they spend, resumed to the bit, blind to the reported rows."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import searches

from harness.config.tuned import TrialRecord, read_records, read_tuned, records_path
from harness.engine.trainer import DivergenceError, Interrupted
from harness.plan.cost import trial_cost
from harness.plan.plan import Plan
from harness.plan.searches import ledger_of
from harness.plan.study import Study
from harness.runs.provenance import Commit
from harness.runs.session import open_session
from harness.tuning import worker
from harness.tuning.shared_study import SharedStudy
from harness.tuning.storage import study_folder
from harness.tuning.trial import TrialProgress
from harness.tuning.tuned_file import write_tuned_file
from harness.tuning.worker import run_trials
from harness.util.errors import HarnessError

Fake = Callable[[dict[str, Any]], float]


@pytest.fixture(scope="module", autouse=True)
def same_commit() -> Iterator[None]:
    """Let nobody's edits of the repository get into tuned files while tests compare their bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.tuning.shared_study.current_commit", lambda: Commit("c0ffee", False, None))
        yield


def done(plan: Plan, study: Study) -> tuple[Path, list[TrialRecord]]:
    """Search with one worker; return the tuned file and the records."""
    run_trials(plan, study, 1, 1)
    path = write_tuned_file(plan, study)
    return path, read_records(records_path(path))


def settled(records: list[TrialRecord]) -> list[TrialRecord]:
    return [r for r in records if r.outcome in ("complete", "pruned", "failed")]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fake], None]:
    """Let trials cost what their method declares, and score what a function of their values says."""

    def use(score: Fake) -> None:
        def run_trial(
            plan: Plan, cells: Any, seeds: int, progress: TrialProgress, on_evaluation: Any, stop: Any
        ) -> float:
            if stop:
                raise Interrupted
            progress.forward_equivalents = trial_cost(cells, seeds) or 0
            progress.seconds = 1.0
            values = {
                **cells[0].method.arguments.model_dump(),
                "learning_rate": cells[0].protocol.learning_rate,
            }
            progress.scores.append(score(values))
            on_evaluation(True)
            return progress.scores[-1] or 0.0

        monkeypatch.setattr(worker, "run_trial", run_trial)

    return use


def close_to(rate: float) -> Fake:
    return lambda values: -abs(values["learning_rate"] - rate)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[TrialRecord]]:
    """Return the tuned file and the records of an undisturbed search."""
    plan = searches.plan(tmp_path_factory.mktemp("calm"), tuning={"trials": 8})
    path, records = done(plan, searches.study(plan))
    return path.read_bytes(), records


def test_the_ledger_holds_what_the_trials_counted_and_declared(
    undisturbed: tuple[bytes, list[TrialRecord]], tmp_path: Path
) -> None:
    records = undisturbed[1]
    study = searches.study(searches.plan(tmp_path, tuning={"trials": 8}))
    assert {r.outcome for r in records} == {"complete", "pruned"} and len(records) == 8
    for r in records:
        passes = r.forward_passes + 2 * r.backward_passes + r.input_backward_passes
        whole = trial_cost(study.cells_with(r.values, "test"), 1)
        assert whole and r.forward_equivalents == 8 * passes > 0  # batches of 8 examples, all complete
        complete = r.outcome == "complete"
        assert r.forward_equivalents == whole if complete else 0 < r.forward_equivalents < whole
    ledger = ledger_of(records)
    assert ledger.forward_equivalents == sum(r.forward_equivalents or 0 for r in records)
    assert ledger.evaluation_examples == 48 * sum(len(r.scores) for r in records)
    assert ledger.trials == 8 and ledger.complete + ledger.pruned == 8
    best = max(r.score for r in records if r.score is not None)
    assert ledger.best == best == records[ledger.best_at - 1].score
    assert records[0].defaults and ledger.defaults == records[0].score == records[0].scores[-1]


def test_the_tuned_file_says_what_was_found_and_how(
    undisturbed: tuple[bytes, list[TrialRecord]], tmp_path: Path
) -> None:
    content, records = yaml.safe_load(undisturbed[0]), undisturbed[1]
    best = max(settled(records), key=lambda r: r.score or -1)
    assert {**content["settings"], **content["arguments"]} == best.values
    assert set(content["settings"]) == {"learning_rate"}
    assert set(content["arguments"]) == {"step_size", "start", "radius"}
    assert content["budget"] == {"trials": 8} and content["search"]["trials"] == 8
    assert content["search"]["reproducible"] is True and content["search"]["workers"] == 1
    study = searches.study(searches.plan(tmp_path, tuning={"trials": 8}))
    assert (content["study"], content["source"]) == (study.hash, study.source)
    assert (content["commit"], content["dirty"]) == ("c0ffee", False)
    assert content["space"]["step_size"] == {"low": 0.001, "high": 0.3, "log": True}
    assert content["selection"]["rows"] == {"words": 48} and content["selection"]["score"] == best.score


def test_with_other_reported_labels_the_tuned_file_is_the_same(
    undisturbed: tuple[bytes, list[TrialRecord]], tmp_path: Path
) -> None:
    plan = searches.plan(tmp_path, shuffled=True, tuning={"trials": 8})
    path, records = done(plan, searches.study(plan))
    assert path.read_bytes() == undisturbed[0]
    assert [r.scores for r in records] == [r.scores for r in undisturbed[1]]
    assert len({r.score for r in records if r.score is not None}) > 2  # there was something to choose


def test_a_trial_has_no_reported_rows_to_read(tmp_path: Path) -> None:
    plan = searches.plan(tmp_path, settings={**searches.SETTINGS, "record_report_curve": True})
    blind = plan.cells[0].protocol.model_copy(update={"record_report_curve": False})
    session = open_session(plan, replace(plan.cells[0], protocol=blind), 1, report=False)
    assert session.data.report == {}
    assert len(done(plan, searches.study(plan, "vanilla"))[1]) == 4


def test_a_killed_worker_is_followed_to_the_same_bits(
    undisturbed: tuple[bytes, list[TrialRecord]], tmp_path: Path
) -> None:
    plan = searches.plan(tmp_path, tuning={"trials": 8})
    study = searches.study(plan)
    for trial in (0, 2, 3):  # counted from each start
        child = forked(lambda trial=trial: dies(plan, study, trial))  # type: ignore[misc]
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    path, records = done(plan, study)
    assert path.read_bytes() == undisturbed[0]
    killed = [r for r in records if r.outcome == "killed"]
    assert len(killed) == 3 and len(settled(records)) == 8
    assert [r.values for r in settled(records)] == [r.values for r in undisturbed[1]]
    assert ledger_of(records).replaced == 3
    assert ledger_of(records).forward_equivalents == sum(r.forward_equivalents or 0 for r in records)


def forked(work: Callable[[], Any]) -> int:
    """Start a process that does ``work``; torch is imported already."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


def dies(plan: Plan, study: Study, trial: int) -> None:
    """Search, and be killed in the middle of a trial, after an evaluation of it."""
    whole, begun = worker.run_trial, []

    def run_trial(plan: Plan, cells: Any, seeds: int, progress: Any, on_evaluation: Any, stop: Any) -> float:
        begun.append(progress)

        def evaluated(last: bool) -> None:
            try:
                on_evaluation(last)
            finally:  # also if the pruner stops the trial here
                if len(begun) == trial + 1:
                    os.kill(os.getpid(), signal.SIGKILL)

        return whole(plan, cells, seeds, progress, evaluated, stop)

    worker.run_trial = run_trial
    run_trials(plan, study, 1, 1)


def test_two_workers_share_a_budget_and_say_so(tmp_path: Path) -> None:
    plan = searches.plan(tmp_path, tuning={"trials": 7, "workers": 2, "pruner": "none"})
    study = searches.study(plan)
    children = [forked(lambda n=n: run_trials(plan, study, n, 1)) for n in (1, 2)]  # type: ignore[misc]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    path = write_tuned_file(plan, study)
    records = read_records(records_path(path))
    assert len(records) == 7 and {r.worker for r in records} == {1, 2}
    assert sum(r.defaults for r in records) == 1
    assert len({json.dumps(r.values) for r in records}) == 7  # no start-up point twice
    assert read_tuned(path).search["reproducible"] == "no: 2 workers shared it"


def test_a_worker_that_works_already_is_not_started_twice(
    tmp_path: Path, fake: Callable[[Fake], None]
) -> None:
    plan = searches.plan(tmp_path)
    study = searches.study(plan)
    begun, free = threading.Event(), threading.Event()

    def slow(values: dict[str, Any]) -> float:
        begun.set()
        free.wait(30)
        return 0.5

    fake(slow)
    first = threading.Thread(target=run_trials, args=(plan, study, 1, 1))
    first.start()
    begun.wait(30)
    with pytest.raises(HarnessError, match="by process"):
        run_trials(plan, study, 1, 1)
    with pytest.raises(HarnessError, match="the search is not finished"):
        write_tuned_file(plan, study)
    free.set()
    first.join()
    assert len(settled(read_records(records_path(write_tuned_file(plan, study))))) == 4


def test_a_finished_study_is_not_touched_and_more_trials_continue_it(
    tmp_path: Path, fake: Callable[[Fake], None]
) -> None:
    fake(close_to(2e-4))
    plan = searches.plan(tmp_path, tuning={"trials": 5})
    study = searches.study(plan)
    path, records = done(plan, study)
    journal = study_folder(plan, study) / "journal.log"
    before = journal.read_bytes(), path.read_bytes()
    assert run_trials(plan, study, 1, 1) == 0
    assert (journal.read_bytes(), write_tuned_file(plan, study).read_bytes()) == before
    more = searches.plan(tmp_path, tuning={"trials": 12})
    path, after = done(more, searches.study(more))
    assert after[:5] == records and len(after) == 12
    assert len({r.values["learning_rate"] for r in after}) == 12
    assert journal.read_bytes().startswith(before[0])
    whole = searches.plan(tmp_path / "whole", tuning={"trials": 12})
    assert done(whole, searches.study(whole))[0].read_bytes() == path.read_bytes()
    fewer = searches.plan(tmp_path, tuning={"trials": 6})
    with pytest.raises(HarnessError, match=r"tuning.trials: 6, but the search has made 12"):
        write_tuned_file(fewer, searches.study(fewer))


def test_another_studys_file_is_kept_aside(tmp_path: Path, fake: Callable[[Fake], None]) -> None:
    fake(close_to(2e-4))
    plan = searches.plan(tmp_path)
    old = done(plan, searches.study(plan))[0]
    content, lines = old.read_bytes(), records_path(old).read_bytes()
    hash8 = searches.study(plan).hash[:8]
    other = searches.plan(tmp_path, tuning={"trials": 4, "pruner": "none"})
    new = done(other, searches.study(other))[0]
    assert new == old and new.read_bytes() != content
    assert new.with_name(f"freelb.{hash8}.yaml").read_bytes() == content
    assert new.with_name(f"freelb.{hash8}.trials.jsonl").read_bytes() == lines


def test_equal_cost_is_never_exceeded_and_buys_a_dear_method_fewer_trials(
    tmp_path: Path, fake: Callable[[Fake], None]
) -> None:
    fake(close_to(2e-4))
    variants = {
        "vanilla-tuned": {"of": "vanilla", "arguments": "tuned"},
        "mat-tuned": {"of": "mat", "arguments": "tuned"},
    }
    plan = searches.plan(tmp_path, variants=variants, tuning={"forward_equivalents": 9600})
    counts = {}
    for study in plan.studies():
        records = done(plan, study)[1]
        spent = ledger_of(records).forward_equivalents
        counts[study.variant] = len(records)
        assert spent and 0 < spent <= 9600
        journal = (study_folder(plan, study) / "journal.log").read_bytes()
        assert run_trials(plan, study, 1, 1) == 0
        assert (study_folder(plan, study) / "journal.log").read_bytes() == journal
    assert counts["vanilla"] == 100 and 2 <= counts["mat"] <= 20


def test_a_budget_of_seconds_ends_the_search_and_is_not_called_reproducible(
    tmp_path: Path, fake: Callable[[Fake], None]
) -> None:
    fake(close_to(2e-4))
    plan = searches.plan(tmp_path, tuning={"seconds": 6.5})
    path, records = done(plan, searches.study(plan))
    assert len(records) == 7  # of a second each; the last one may pass the end
    assert read_tuned(path).search["reproducible"] == "no: its budget is time"


def test_a_trial_over_seeds_and_tasks_is_their_mean(tmp_path: Path) -> None:
    tuning = {"trials": 2, "seeds": 2, "studies": "model", "pruner": "hyperband"}
    tasks = {"words": {}, "rotten_tomatoes": {}}
    plan = searches.plan(tmp_path, tasks=tasks, tuning=tuning)
    study = searches.study(plan, "vanilla")
    path, records = done(plan, study)
    first = records[0]
    assert len(first.scores) == 2 * 2 * 2  # seeds, tasks, evaluations
    assert first.score == pytest.approx(first.scores[-1])
    assert first.forward_equivalents == trial_cost(study.cells, 2) == 2 * 2 * 4 * 8 * 3
    assert read_tuned(path).tasks == ["words", "rotten_tomatoes"] and path.parts[-3] == "all"
    again = searches.planned(tmp_path, {**yaml.safe_load((tmp_path / "toy.yaml").read_text())})
    found = [cell for cell in again.cells if cell.variant == "vanilla-tuned"]
    assert len(found) == 2 and not any(cell.awaits_tuning for cell in found)
    assert len({cell.protocol.learning_rate for cell in found}) == 1


def test_a_trial_that_diverges_counts_and_is_called_failed(
    tmp_path: Path, fake: Callable[[Fake], None]
) -> None:
    def score(values: dict[str, Any]) -> float:
        if values["learning_rate"] > 5e-6 and values["learning_rate"] != 5e-4:
            raise DivergenceError("the loss is not finite at batch 2")
        return 0.5

    fake(score)
    plan = searches.plan(tmp_path, tuning={"trials": 8})
    path, records = done(plan, searches.study(plan, "vanilla"))
    failed = [r for r in records if r.outcome == "failed"]
    assert failed and len(records) == 8 == ledger_of(records).trials
    assert {r.reason for r in failed} == {"the loss is not finite at batch 2"}
    assert all(r.score is None for r in failed)
    assert read_tuned(path).search["failed"] == len(failed)


def test_without_any_score_there_is_no_tuned_file(tmp_path: Path, fake: Callable[[Fake], None]) -> None:
    def score(values: dict[str, Any]) -> float:
        raise DivergenceError("nothing but NaN")

    fake(score)
    plan = searches.plan(tmp_path)
    with pytest.raises(HarnessError, match="none of 4 trials has a score: nothing but NaN"):
        done(plan, searches.study(plan))
    assert not plan.tuned_file(searches.study(plan)).exists()


def test_an_error_or_a_stop_ends_the_worker_and_the_trial_is_made_again(
    tmp_path: Path, fake: Callable[[Fake], None]
) -> None:
    calls = []

    def score(values: dict[str, Any]) -> float:
        calls.append(values["learning_rate"])
        if len(calls) == 3:
            raise OSError("the disk is full")
        return values["learning_rate"]

    fake(score)
    plan = searches.plan(tmp_path)
    study = searches.study(plan, "vanilla")
    with pytest.raises(OSError, match="the disk is full"):
        run_trials(plan, study, 1, 1)
    with pytest.raises(HarnessError, match="trial 3 was stopped; the same command repeats it"):
        run_trials(plan, study, 1, 1, stop=True)  # type: ignore[arg-type]
    records = done(plan, study)[1]
    assert [r.outcome for r in records] == [
        "complete", "complete", "error: OSError: the disk is full", "stopped", "complete", "complete",
    ]  # fmt: skip
    assert records[2].values == records[3].values == records[4].values


def test_a_search_in_a_database(
    tmp_path: Path, fake: Callable[[Fake], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(close_to(2e-4))
    plan = searches.plan(tmp_path, tuning={"trials": 5, "storage": f"sqlite:///{tmp_path}/trials.db"})
    study = searches.study(plan)
    path, _ = done(plan, study)
    assert (tmp_path / "trials.db").is_file() and not (study_folder(plan, study) / "journal.log").exists()
    journal = searches.plan(tmp_path / "j", tuning={"trials": 5})
    assert done(journal, searches.study(journal))[0].read_bytes() == path.read_bytes()
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path}/other.db")
    SharedStudy(plan, study)
    assert (tmp_path / "other.db").is_file()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me@127.0.0.1:9/none", "nothing answers at 127.0.0.1:9"),
        ("sqlite:////no/such/folder/x.db", "cannot be used: .*unable to open database file"),
        ("nonsense://x", "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_reached_is_reported_before_any_trial(
    tmp_path: Path, fake: Callable[[Fake], None], url: str, message: str
) -> None:
    fake(lambda values: pytest.fail("a trial was started"))
    plan = searches.plan(tmp_path, tuning={"trials": 2, "storage": url})
    with pytest.raises(HarnessError, match=f"tuning.storage.*{message}"):
        run_trials(plan, searches.study(plan), 1, 1)


def test_a_torn_line_of_the_journal_is_cut_off(tmp_path: Path, fake: Callable[[Fake], None]) -> None:
    fake(close_to(2e-4))
    plan = searches.plan(tmp_path)
    study = searches.study(plan)
    done(plan, study)
    journal = study_folder(plan, study) / "journal.log"
    with journal.open("ab") as stream:
        stream.write(b'{"op_code": 4, "wor')
    more = searches.plan(tmp_path, tuning={"trials": 6})
    assert len(done(more, searches.study(more))[1]) == 6


def test_a_trial_whose_memory_runs_out_goes_on_with_fewer_examples_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from harness.engine.trainer import Trainer

    whole, sizes = Trainer.run, []

    def run(self: Trainer, *message: Any) -> None:
        sizes.append(self.encoder.micro_batch)
        whole(self, *message)
        if len(sizes) == 1:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(Trainer, "run", run)
    plan = searches.plan(tmp_path, tuning={"trials": 1})
    study = searches.study(plan, "vanilla")
    (record,) = done(plan, study)[1]
    assert sizes == [None, 4] and len(record.scores) == 2
    assert record.forward_equivalents == trial_cost(study.cells, 1)  # a budget is that of any device


def test_killed_trials_are_charged_and_a_cheaper_proposal_may_still_fit(
    tmp_path: Path, fake: Callable[[Fake], None]
) -> None:
    fake(close_to(2e-4))
    variants = {"freelb": {}, "freelb-tuned": {"of": "freelb", "arguments": "tuned"}}
    narrow = {"freelb": {"steps": [1, 3, 5]}}
    plan = searches.plan(tmp_path, variants=variants, tuning={"forward_equivalents": 6000, "space": narrow})
    (study,) = plan.studies()
    shared = SharedStudy(plan, study, 1)
    cheapest = trial_cost(study.cells_with({**study.defaults(), "steps": 1}, "test"), 1)
    assert cheapest and shared._cheapest == cheapest
    shared.worker_folder(1).mkdir(parents=True)
    proposal = shared.ask()
    assert proposal is not None
    trial, _ = proposal
    trial.set_user_attr("record", {"forward_equivalents": 1000})
    shared.fail(trial, "stopped")
    records = done(plan, study)[1]
    charged = sum(r.forward_equivalents or 0 for r in records)
    assert next(r for r in records if r.outcome == "stopped").forward_equivalents == 1000
    assert 6000 - cheapest < charged <= 6000  # nothing that fits is left


def test_a_budget_below_one_trial_with_the_defaults_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"forward_equivalents: expected at least .* one trial .*, got 10"):
        searches.plan(tmp_path, tuning={"forward_equivalents": 10})
