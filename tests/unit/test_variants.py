"""Variants: each is another algorithm, and a control differs from its parent in what it says."""

import itertools

import pytest
import torch
import yaml

from harness.config import catalogue
from harness.methods.conformance import toy
from harness.methods.registry import method_class
from harness.util.errors import ConfigErrors
from harness.util.paths import CONFIG

SAME = {("vanilla", "vanilla-matched"): "the same method and arguments for more epochs"}
ENTRIES = yaml.safe_load((CONFIG / "variants.yaml").read_text())


def method_and_arguments(name: str) -> tuple[str, dict[str, object]]:
    variant = catalogue.variant(name)
    kind = method_class(variant.method)
    return variant.method, kind(kind.Arguments(**variant.arguments)).arguments.model_dump()


@pytest.mark.usefixtures("float64")
def test_every_pair_of_variants_trains_other_weights() -> None:
    weights = {}
    for name, variant in catalogue.variants().items():
        made = toy.encoder()
        toy.steps(made, toy.build(variant.method, **variant.arguments), count=3)
        weights[name] = torch.cat([p.flatten() for p in toy.parameters(made).values()])
    for one, two in itertools.combinations(weights, 2):
        if (one, two) in SAME:
            assert method_and_arguments(one) == method_and_arguments(two)
            assert catalogue.variant(one).epochs_times != catalogue.variant(two).epochs_times
        else:
            assert not torch.equal(weights[one], weights[two]), f"{one} and {two} are the same"


def test_a_variant_differs_from_its_parent_in_exactly_what_it_names() -> None:
    for name, entry in ENTRIES.items():
        if "parent" in entry:
            method, ours = method_and_arguments(name)
            parent, theirs = method_and_arguments(entry["parent"])
            assert method == parent
            assert {key for key in ours if ours[key] != theirs[key]} == set(entry.get("arguments", {}))


def test_the_named_variants_are_there() -> None:
    wanted = (
        "mat mat-code mat-strong freelb freelb-shared-dropout smart smart-no-teacher smart-author "
        "smart-mtdnn pgd freeat r3f creat mat-no-delta mat-no-lambda mat-no-noise mat-pure vanilla-inner-k "
        "vanilla-matched lookahead r-drop"
    )
    assert set(wanted.split()) <= set(catalogue.variants())
    for variant in catalogue.variants().values():
        assert variant.note and variant.source


def test_a_matched_control_trains_for_mats_compute() -> None:
    mat, vanilla = method_class("mat"), method_class("vanilla")
    ratio = (
        mat.passes(mat.Arguments()).forward_equivalents
        / vanilla.passes(vanilla.Arguments()).forward_equivalents
    )
    assert catalogue.variant("vanilla-matched").epochs_times == round(ratio)


def test_a_variant_of_an_unknown_parent_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # noqa: ANN001
    (tmp_path / "variants.yaml").write_text(
        "a: {method: vanilla, note: x, source: y}\nb: {parent: aa, note: x, source: y}\n"
    )
    monkeypatch.setattr(catalogue, "CONFIG", tmp_path)
    catalogue.variants.cache_clear()
    with pytest.raises(ConfigErrors, match="b: unknown variant 'aa'; did you mean 'a'"):
        catalogue.variants()
    catalogue.variants.cache_clear()
