"""A tiny encoder, batches and runs for tests."""

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from harness.core.encoder import Encoder
from harness.core.streams import GeneratorDraws, GlobalStream
from harness.core.update import Update
from harness.methods.interface import Batch, Method
from harness.methods.registry import method_class
from harness.plan import catalogue
from harness.plan.grid import Run
from harness.plan.plan import Plan, make_plan

CPU = torch.device("cpu")


def network(family: str = "bert", outputs: int = 3, seed: int = 0) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    if family == "albert":
        sizes["embedding_size"] = 8
    with GlobalStream(seed, CPU).active():
        config = AutoConfig.for_model(
            family, vocab_size=50, max_position_embeddings=32, pad_token_id=0, num_labels=outputs, **sizes
        )
        made = AutoModelForSequenceClassification.from_config(config)
    return made.to(torch.get_default_dtype())


def encoder(family: str = "bert", outputs: int = 3, seed: int = 0, pack: bool = True) -> Encoder:
    return Encoder(
        network(family, outputs, seed),
        regression=outputs == 1,
        draws=GeneratorDraws(seed, CPU),
        dropout_stream=GlobalStream(seed, CPU),
        pack=pack,
    )


def batch(outputs: int = 3, lengths: tuple[int, ...] = (9, 4, 7, 5), seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    mask = (torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 50, (len(lengths), longest), generator=generator) * mask
    types = (torch.arange(longest)[None, :] > 3).long() * mask
    labels: Tensor = torch.randint(0, max(outputs, 2), (len(lengths),), generator=generator)
    return Batch(
        ids, mask, types, labels.to(torch.get_default_dtype()) if outputs == 1 else labels, sum(lengths)
    )


def build(name: str, **arguments: Any) -> Method:
    kind = method_class(name)
    return kind(kind.Arguments(**arguments))


def update(made: Encoder, batches: int = 10, **changes: Any) -> Update:
    protocol = catalogue.protocol("honest").model_copy(
        update={"warmup": 0.0, "learning_rate": 1e-3, **changes}
    )
    return Update(made.network, protocol, batches, made.meter)


def steps(made: Encoder, method: Method, count: int = 3, outputs: int = 3) -> list[float]:
    """Train on ``count`` batches; return the losses."""
    optimizer = update(made)
    losses = []
    for t in range(count):
        with made.training_step(method.arguments.dropout):
            losses.append(float(method.step(made, batch(outputs, seed=t), optimizer)))
        optimizer.next_batch()
    return losses


def parameters(made: Encoder) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in made.named_parameters().items()}


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def plan(folder: Path, **changes: Any) -> Plan:
    """Return the plan of a tiny experiment whose results go below ``folder``."""
    content = {
        "name": "toy",
        "title": "A toy experiment",
        "settings": {"epochs": 1, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16},
        "tasks": ["rotten_tomatoes"],
        "models": ["tiny"],
        "variants": ["vanilla"],
        "seeds": [1],
        **changes,
    }
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(content))
    return make_plan(path, folder / "results")


def find(made: Plan, name: str) -> Run:
    return next(run for run in made.runs if run.name == name)
