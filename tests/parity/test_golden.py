"""Parity with the authors' codes, on traces that were recorded while those codes ran.

``pytest tests/parity/test_golden.py --golden DIR`` replays all traces of another folder of the same format.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import trace_settings
from support.traces import ALL_TRACES, TOLERANCE, TRACES, Replay, load_case, replay, within_tolerance

from baselines import creat, smart, smart_mtdnn
from harness.config.protocol import Protocol
from harness.engine import optim
from harness.engine.encoder import Encoder
from harness.engine.optim import ScheduledOptimizer
from harness.methods import adversary
from mat import langevin

pytestmark = pytest.mark.usefixtures("float64")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every trace in the folders."""
    if "trace" in metafunc.fixturenames:
        folders = metafunc.config.getoption("golden") or [ALL_TRACES if ALL_TRACES.is_dir() else TRACES]
        traces = [
            path for folder in folders for path in sorted(Path(folder).glob("*.json")) if _is_case(path)
        ]
        metafunc.parametrize("trace", traces, ids=[path.stem for path in traces])


def _is_case(path: Path) -> bool:
    return "case" in json.loads(path.read_text())


@pytest.mark.parametrize("fast", [False, True], ids=["plain", "fast"])
def test_losses_perturbations_gradients_and_parameters_equal_the_recorded_ones(
    trace: Path, fast: bool
) -> None:
    worst = replay(load_case(trace.parent, trace.stem, fast))
    assert {"loss", "rate", "gradient", "state"} <= set(worst)
    assert within_tolerance(worst), worst


def test_a_trace_without_a_mapping_fails(tmp_path: Path) -> None:
    facts = json.loads((TRACES / "vanilla.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps({**facts, "case": "other"}))
    for name in ("vanilla.safetensors", "base_bert_cls.json", "base_bert_cls.safetensors"):
        (tmp_path / name.replace("vanilla", "other")).write_bytes((TRACES / name).read_bytes())
    with pytest.raises(AssertionError, match="not mapped"):
        load_case(tmp_path, "other")


def no_aliasing(patch: pytest.MonkeyPatch) -> None:
    method, arguments, _ = trace_settings.FAMILIES["mat_code"]
    patch.setitem(trace_settings.FAMILIES, "mat_code", (method, arguments, {}))


def coordinate_clip(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(adversary, "rescale", lambda delta, radius, kind: adversary.clip(delta, radius))


def norm_per_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(adversary, "norm", lambda delta, kind: delta.norm(dim=2, keepdim=True))


def no_theta_noise(patch: pytest.MonkeyPatch) -> None:
    plain = langevin.deviation

    def deviation(step: float, base: float, ratio: float) -> float:
        size = plain(step, base, ratio)
        return min(size, 1e-300) if step != base else size

    patch.setattr(langevin, "deviation", deviation)


def peak_rate_in_the_noise(patch: pytest.MonkeyPatch) -> None:
    plain = langevin.deviation
    patch.setattr(langevin, "deviation", lambda step, base, ratio: plain(base, base, ratio) if step else 0.0)


def rate_one_call_late(patch: pytest.MonkeyPatch) -> None:
    def within_batch(self: ScheduledOptimizer, share: float) -> None:
        for group in self._adamw.param_groups:
            group["lr"] = self.peak_learning_rate * self._scale(max(0, self._batch - 1))

    patch.setattr(ScheduledOptimizer, "within_batch", within_batch)


def clean_branch_detached(patch: pytest.MonkeyPatch) -> None:
    plain = adversary.symmetric_kl
    patch.setattr(adversary, "symmetric_kl", lambda u, v, gradient: plain(u, v, "stopgrad-clean"))


def last_delta_for_the_mean(patch: pytest.MonkeyPatch) -> None:
    plain = langevin.average

    def average(mean: list[torch.Tensor], sample: list[torch.Tensor], decay: float) -> None:
        plain(mean, sample, 0.0 if len(mean) == 1 else decay)

    patch.setattr(langevin, "average", average)


def no_clipping(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)


def no_mask_at_the_start(patch: pytest.MonkeyPatch) -> None:
    def start(words: torch.Tensor, mask: torch.Tensor, size: float, kind: str, draws: Replay) -> torch.Tensor:
        return (2 * draws.uniform(words) - 1) * size / (mask.sum(1) * words.shape[2]).sqrt().view(-1, 1, 1)

    patch.setattr(adversary, "uniform_start", start)


def decay_on_all_parameters(patch: pytest.MonkeyPatch) -> None:
    def groups(network: torch.nn.Module, protocol: Protocol) -> list[dict[str, object]]:
        return [{"params": list(network.parameters()), "weight_decay": protocol.weight_decay}]

    patch.setattr(optim, "_groups", groups)


def gradient_normalised_before_adding(patch: pytest.MonkeyPatch) -> None:
    def perturbation(self, model, batch, origin, clean):  # noqa: ANN001, ANN202
        args, delta = self.arguments, self.arguments.noise * model.draws.normal(origin)
        for _ in range(args.steps):
            delta.requires_grad_()
            inner = self._inner(model, self._pass(model, batch, origin + delta).logits, clean)
            gradient = model.input_gradient(inner, delta)
            unit = gradient / (adversary.token_norm(gradient) + args.stabiliser)
            delta = delta.detach() + args.step_size * unit
        return delta

    patch.setattr(smart_mtdnn.SmartMtdnn, "_perturbation", perturbation)


def cosine_averaged(patch: pytest.MonkeyPatch) -> None:
    class Averaged:
        @staticmethod
        def cosine_similarity(one: torch.Tensor, two: torch.Tensor, dim: int) -> torch.Tensor:
            return torch.nn.functional.cosine_similarity(one, two, dim=dim) / len(one)

    patch.setattr(creat, "functional", Averaged)


def teacher_moved_after_the_step(patch: pytest.MonkeyPatch) -> None:
    plain = smart.Smart._move_teacher

    def move(self: smart.Smart, model: Encoder) -> None:
        self.batches += 1
        plain(self, model)

    patch.setattr(smart.Smart, "_move_teacher", move)


WRONG_RULES = [
    ("mat_code", no_aliasing),
    ("mat_code", coordinate_clip),
    ("mat_code", no_theta_noise),
    ("mat_code", peak_rate_in_the_noise),
    ("mat_code", rate_one_call_late),
    ("mat_code", clean_branch_detached),
    ("mat_intended", last_delta_for_the_mean),
    ("freelb_hf_l2", norm_per_token),
    ("freelb_hf_l2", no_clipping),
    ("freelb_hf_l2", no_mask_at_the_start),
    ("freelb_hf_l2", decay_on_all_parameters),
    ("smart_author_ema", teacher_moved_after_the_step),
    ("smart_pt_embed", gradient_normalised_before_adding),
    ("creat", cosine_averaged),
]


@pytest.mark.parametrize(("name", "wrong"), WRONG_RULES, ids=lambda x: getattr(x, "__name__", x))
def test_a_wrong_rule_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: Callable[[pytest.MonkeyPatch], None]
) -> None:
    wrong(monkeypatch)
    worst = replay(load_case(TRACES, name))
    assert max(worst["state"], worst["loss"]) > 1000 * TOLERANCE, worst
