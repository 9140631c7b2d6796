"""From a trace's hyper-parameters to our method, arguments, optimizer and schedule."""

from collections.abc import Callable
from typing import Any

from harness.plan import catalogue
from harness.plan.protocol import Protocol

Facts = dict[str, Any]
START = {"zero": "zero", "rand": "uniform", "randn": "normal"}


def _freelb_hf(given: Facts) -> Facts:
    return {
        "steps": given["adv_steps"],
        "step_size": given["adv_lr"],
        "start": given["adv_init_mag"],
        "radius": given["adv_max_norm"],
        "norm": given["norm_type"],
    }


def _notebook(given: Facts) -> Facts:
    """FreeLB, PGD and FreeAT of MAT's notebooks share their names."""
    return {"steps": given["Adv_step"], "step_size": given["Adv_epsilon"], "radius": given["Adv_max_norm"]}


def _started(given: Facts) -> Facts:
    start = {"start": START[given["Adv_init_type"]], "start_size": given["Adv_epsilon"]}
    return {**_notebook(given), **start, "norm": "linf"}


def _freelb_mat(given: Facts) -> Facts:
    law = START[given["Adv_init_type"]]
    start = {"start": 0.0} if law == "zero" else {"start": given["Adv_epsilon"], "start_law": law}
    return {**_notebook(given), **start, "norm": "linf", "projection": "rescale"}


def _smart_pt(given: Facts) -> Facts:
    return {
        "steps": given["num_steps"],
        "step_size": given["step_size"],
        "stabiliser": given["epsilon"],
        "noise": given["noise_var"],
        "weight": given["weight"],
        "inner": "kl",
        "all_pairs": False,
    }


def _smart_mtdnn(given: Facts) -> Facts:
    return {
        "steps": given["k"],
        "step_size": given["step_size"],
        "stabiliser": given["epsilon"],
        "noise": given["noise_var"],
        "weight": given["adv_alpha"],
    }


def _smart_author(given: Facts) -> Facts:
    assert given["teacher_class"] == "smart", "a regression forces its own divergence; nothing else is mapped"
    assert given.get("mean_teacher_avg", "exponential") == "exponential"
    return {
        "released": True,
        "step_size": given["vat_eps"],
        "stabiliser": 1e-4,
        "weight": given["vat_lambda"],
        "teacher_weight": given.get("mean_teacher_lambda", 0.0) if given["mean_teacher"] else 0.0,
        "early_decay": given.get("mean_teacher_alpha1", 0.0),
        "late_decay": given.get("mean_teacher_alpha2", 0.0),
        "ramp": given.get("mean_teacher_rampup", 0),
    }


def _r3f(given: Facts) -> Facts:
    return {"noise": given["noise_type"], "size": given["eps"], "weight": given["r3f_lambda"]}


def _creat(given: Facts) -> Facts:
    return {
        "steps": given["adv_steps"],
        "step_size": given["adv_lr"],
        "radius": given["adv_max_norm"],
        "temperature": given["adv_temp"],
        "start_size": given["adv_init_var"],
    }


def _mat(given: Facts) -> Facts:
    return {
        "steps_delta": given["sampling_times_delta"],
        "steps_theta": given["sampling_times_theta"],
        "step_size": given["sampling_step_delta"],
        "start": START[given["adv_init_type"]],
        "start_size": given["adv_init_epsilon"],
        "radius": given["adv_max_norm"],
        "noise_ratio": given["sampling_noise_ratio"],
        "weight": given["lambda_s"],
        "beta_s": given["beta_s"],
        "beta_p": given["beta_p"],
    }


# Start of a case's name: (method, its arguments, arguments that the name itself stands for).
FAMILIES: dict[str, tuple[str, Callable[[Facts], Facts], Facts]] = {
    "vanilla": ("vanilla", lambda given: {}, {}),
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
    """Return the longest known start of a case's name; a case that fits none is a failure."""
    fitting = [name for name in FAMILIES if case.startswith(name)]
    assert fitting, f"the trace {case} is not mapped to a method"
    return max(fitting, key=len)


def method_of(facts: Facts) -> tuple[str, Facts]:
    """Return our method and arguments for a trace."""
    method, arguments, fixed = FAMILIES[family(facts["case"])]
    return method, {**arguments(facts["hyper_parameters"]), **fixed}


def horizon(facts: Facts, batches: int) -> float:
    """Return the length of the schedule, in batches."""
    given = facts["hyper_parameters"]
    if family(facts["case"]) == "freeat_mat":  # it moves at every one of the K updates of a batch
        return float(given["EPOCH"] * batches / given["Adv_step"])
    return float(given.get("total_steps", batches))


def protocol_of(facts: Facts, batches: int) -> Protocol:
    """Return the optimizer and schedule of a trace."""
    given, optimizer = facts["hyper_parameters"], facts["optimizer"]
    assert optimizer["name"] == "torch.optim.AdamW" and not optimizer["amsgrad"]
    groups = optimizer["groups"]
    scheduled = {"LR_SCHEDULER_NAME", "scheduler_type", "learning_rate", "total_steps"} & set(given)
    named = {given.get("LR_SCHEDULER_NAME", "linear"), given.get("scheduler_type", "linear")}
    assert named == {"linear"}, f"schedule not mapped: {named}"
    steps = given.get("NUM_WARMUP_STEPS", given.get("warmup_steps", 0))
    values = catalogue.protocol("honest").base() | {
        "learning_rate": optimizer["lr"],
        "schedule": "linear" if scheduled else "constant",
        "warmup": given.get("warm_up", (steps + 1e-9) / horizon(facts, batches)),
        "weight_decay": groups[0]["weight_decay"],
        "decay_bias_and_norm": len(groups) == 1,
        "adam_betas": tuple(optimizer["betas"]),
        "adam_epsilon": optimizer["eps"],
        "clip_norm": given.get("max_grad_norm", 0.0),
    }
    return Protocol.model_validate(values)
