"""The benchmark prints ratios only if its reference loops equal the released codes."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.traces import ALL_TRACES

from benchmarks import __main__ as bench
from benchmarks import budget, parity, rows
from benchmarks.memory import peak_mb
from benchmarks.settings import SETTINGS, fewer_samples
from benchmarks.table import table

KEYS = {
    "task", "method", "precision", "ours_ms", "reference_ms", "ratio", "passes", "tokens", "computed_tokens",
    "ours_peak_mb", "reference_peak_mb",
}  # fmt: skip
MORE = ("vanilla_reg", "freelb_hf_init0", "freelb_hf_linf", "freelb_hf_reg", "smart_author",
        "smart_author_ema_reg", "mat_code_k1", "mat_code_reg")  # fmt: skip


@pytest.mark.parametrize("name", parity.CHECKED)
def test_reference_loops_equal_the_recorded_codes(name: str) -> None:
    assert parity.failures(names=(name,)) == []


@pytest.mark.skipif(not ALL_TRACES.is_dir(), reason="the folder with all traces is missing")
@pytest.mark.parametrize("name", MORE)
def test_reference_loops_equal_further_traces(name: str) -> None:
    assert parity.failures(ALL_TRACES, (name,)) == []


def test_a_wrong_reference_loop_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.REFERENCES, "mat_code", parity.REFERENCES["vanilla"])
    with pytest.raises(AssertionError, match="unused draws"):
        parity.failures(names=("mat_code",))


def test_a_loop_with_another_cost_fails() -> None:
    cost = budget.LoopCost("freelb-3", 9, expected=3.0, measured=3.5, recorded="3.15")
    assert budget.failures([cost]) == []
    assert "freelb-3" in budget.failures([replace(cost, measured=3.7)])[0]
    assert budget.failures([replace(cost, measured=2.3)])


def test_no_ratio_if_a_check_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(parity, "failures", lambda: ["reference loop against the trace x: no"])
    monkeypatch.setattr("sys.argv", ["benchmarks", "--out", str(tmp_path)])
    assert bench.main() == 1
    printed = capsys.readouterr()
    assert "against the trace x" in printed.err and "geometric mean" not in printed.out
    assert not list(tmp_path.iterdir())


def test_rows_and_table_of_a_tiny_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rows, "peak_mb", lambda *_: 1.0)
    few = [SETTINGS[0], fewer_samples(SETTINGS[3])]
    measured = list(rows.task_rows("stsb", "tiny", None, 0.0, 1, few))
    assert [(row.method, row.precision) for row in measured] == [
        (s.name, precision) for s in few for precision in ("fp32", "bf16")
    ]
    assert [rows.Row(**row) for row in json.loads(json.dumps([asdict(row) for row in measured]))] == measured
    for row in measured:
        assert set(asdict(row)) >= KEYS
        assert row.ours_ms > 0
        assert row.ratio == pytest.approx(row.reference_ms / row.ours_ms, rel=0.01)
        assert 0 < row.tokens == row.computed_tokens < row.padded_tokens
    assert measured[2].passes == {"forward": 7, "backward": 4, "input_backward": 2, "optimizer_steps": 2}
    text = table(measured, "tiny")
    assert "geometric mean" in text and "mat-5-5" in text and "smart" not in text


def test_peak_memory_is_that_of_the_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert 0 < peak_mb("stsb", "tiny", SETTINGS[0], "fp32", None, 1) < 2000


def test_the_table_states_model_and_machine() -> None:
    assert bench.about("tiny", 1).startswith("tiny, batch 32, at most 256 tokens, dropout on; ")
