"""Hyper-parameters of a trace, as our method, arguments, optimizer and schedule."""

from collections.abc import Callable
from typing import Any

from harness.config import catalogue
from harness.config.protocol import Protocol

Facts = dict[str, Any]
START = {"zero": "zero", "rand": "uniform", "randn": "normal"}


def _freelb_hf(values: Facts) -> Facts:
    return {
        "steps": values["adv_steps"],
        "step_size": values["adv_lr"],
        "start": values["adv_init_mag"],
        "radius": values["adv_max_norm"],
        "norm": values["norm_type"],
    }


def _notebook(values: Facts) -> Facts:
    """FreeLB, PGD and FreeAT of MAT's notebooks share their names."""
    return {"steps": values["Adv_step"], "step_size": values["Adv_epsilon"], "radius": values["Adv_max_norm"]}


def _started(values: Facts) -> Facts:
    start = {"start": START[values["Adv_init_type"]], "start_size": values["Adv_epsilon"]}
    return {**_notebook(values), **start, "norm": "linf"}


def _freelb_mat(values: Facts) -> Facts:
    law = START[values["Adv_init_type"]]
    start = {"start": 0.0} if law == "zero" else {"start": values["Adv_epsilon"], "start_law": law}
    return {**_notebook(values), **start, "norm": "linf", "projection": "rescale"}


def _smart_pt(values: Facts) -> Facts:
    return {
        "steps": values["num_steps"],
        "step_size": values["step_size"],
        "stabiliser": values["epsilon"],
        "noise": values["noise_var"],
        "weight": values["weight"],
        "inner": "kl",
        "all_pairs": False,
    }


def _smart_mtdnn(values: Facts) -> Facts:
    return {
        "steps": values["k"],
        "step_size": values["step_size"],
        "stabiliser": values["epsilon"],
        "noise": values["noise_var"],
        "weight": values["adv_alpha"],
    }


def _smart_author(values: Facts) -> Facts:
    assert values["teacher_class"] == "smart", "other divergences of a classification are not mapped"
    assert values.get("mean_teacher_avg", "exponential") == "exponential"
    return {
        "released": True,
        "step_size": values["vat_eps"],
        "stabiliser": 1e-4,
        "weight": values["vat_lambda"],
        "teacher_weight": values.get("mean_teacher_lambda", 0.0) if values["mean_teacher"] else 0.0,
        "early_decay": values.get("mean_teacher_alpha1", 0.0),
        "late_decay": values.get("mean_teacher_alpha2", 0.0),
        "ramp": values.get("mean_teacher_rampup", 0),
    }


def _r3f(values: Facts) -> Facts:
    return {"noise": values["noise_type"], "size": values["eps"], "weight": values["r3f_lambda"]}


def _creat(values: Facts) -> Facts:
    return {
        "steps": values["adv_steps"],
        "step_size": values["adv_lr"],
        "radius": values["adv_max_norm"],
        "temperature": values["adv_temp"],
        "start_size": values["adv_init_var"],
    }


def _mat(values: Facts) -> Facts:
    return {
        "steps_delta": values["sampling_times_delta"],
        "steps_theta": values["sampling_times_theta"],
        "step_size": values["sampling_step_delta"],
        "start": START[values["adv_init_type"]],
        "start_size": values["adv_init_epsilon"],
        "radius": values["adv_max_norm"],
        "noise_ratio": values["sampling_noise_ratio"],
        "weight": values["lambda_s"],
        "beta_s": values["beta_s"],
        "beta_p": values["beta_p"],
    }


# Prefix of the name of a trace: (method, its arguments, arguments that the prefix implies).
FAMILIES: dict[str, tuple[str, Callable[[Facts], Facts], Facts]] = {
    "vanilla": ("vanilla", lambda values: {}, {}),
    "freelb_hf": ("freelb", _freelb_hf, {}),
    "freelb_mat": ("freelb", _freelb_mat, {}),
    "pgd_mat": ("pgd", _started, {}),
    "pgd_mat_l2": ("pgd", _started, {"norm": "l2"}),
    "freeat_mat": ("freeat", _started, {}),
    "smart_pt_word": ("smart-mtdnn", _smart_pt, {"level": "words", "reduction": "sum"}),
    "smart_pt_embed": ("smart-mtdnn", _smart_pt, {"level": "embedded"}),
    "smart_mtdnn": ("smart-mtdnn", _smart_mtdnn, {}),
    "smart_author": ("smart", _smart_author, {}),
    "r3f": ("r3f", _r3f, {}),
    "creat": ("creat", _creat, {}),
    "mat_code": ("mat", _mat, {"aliased": True}),
    "mat_intended": ("mat", _mat, {}),
}


def family(case: str) -> str:
    """Return the longest prefix of the name of a trace; a trace without one is a failure."""
    fitting = [name for name in FAMILIES if case.startswith(name)]
    assert fitting, f"the trace {case} is not mapped to a method"
    return max(fitting, key=len)


def method_of(facts: Facts) -> tuple[str, Facts]:
    """Return our method and arguments for a trace."""
    method, arguments, fixed = FAMILIES[family(facts["case"])]
    return method, {**arguments(facts["hyper_parameters"]), **fixed}


def horizon(facts: Facts, batches: int) -> float:
    """Return the length of the schedule, in batches."""
    values = facts["hyper_parameters"]
    if family(facts["case"]) == "freeat_mat":  # it moves at each of the K updates of a batch
        return float(values["EPOCH"] * batches / values["Adv_step"])
    return float(values.get("total_steps", batches))


def protocol_of(facts: Facts, batches: int) -> Protocol:
    """Return the optimizer and schedule of a trace."""
    values, optimizer = facts["hyper_parameters"], facts["optimizer"]
    assert optimizer["name"] == "torch.optim.AdamW" and not optimizer["amsgrad"]
    groups = optimizer["groups"]
    scheduled = {"LR_SCHEDULER_NAME", "scheduler_type", "learning_rate", "total_steps"} & set(values)
    named = {values.get("LR_SCHEDULER_NAME", "linear"), values.get("scheduler_type", "linear")}
    assert named == {"linear"}, f"schedule not mapped: {named}"
    steps = values.get("NUM_WARMUP_STEPS", values.get("warmup_steps", 0))
    protocol = catalogue.protocol("honest").base() | {
        "learning_rate": optimizer["lr"],
        "schedule": "linear" if scheduled else "constant",
        "warmup": values.get("warm_up", (steps + 1e-9) / horizon(facts, batches)),
        "weight_decay": groups[0]["weight_decay"],
        "decay_bias_and_norm": len(groups) == 1,
        "adam_betas": tuple(optimizer["betas"]),
        "adam_epsilon": optimizer["eps"],
        "clip_norm": values.get("max_grad_norm", 0.0),
    }
    return Protocol.model_validate(protocol)
