"""Figures: the same bytes each time, looks that can be told apart, files that appear whole."""

from pathlib import Path

import pytest

from harness.plan import catalogue
from harness.report.figures import style


def drawn(path: Path) -> dict[str, bytes]:
    with style.drawing(path, width=style.COLUMN) as (_, (axes,)):
        axes.plot([1, 2], [3, 4], **style.looks(["mat"])["mat"].curve())
        axes.set_xlabel("batches")
    return {form: file.read_bytes() for form, file in style.files(path).items()}


def test_a_figure_has_the_same_bytes_each_time_and_touches_no_global_state(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    first, second = drawn(tmp_path / "a.b"), drawn(tmp_path / "c")
    assert first == second and first["png"][:4] == b"\x89PNG" and first["pdf"][:4] == b"%PDF"
    assert b"Date" not in first["pdf"] and b"matplotlib" not in first["png"].lower()
    assert dict(matplotlib.rcParams) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.b.pdf", "a.b.png", "c.pdf", "c.png"]


def test_a_figure_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), style.drawing(tmp_path / "a"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_every_variant_has_a_look_of_its_own_that_does_not_depend_on_the_others() -> None:
    names = [*catalogue.variants(), *(f"mine-{i}" for i in range(30))]
    found = style.looks(names)
    assert len(set(found.values())) == len(names)
    assert style.looks(["mat", "own"])["mat"] == found["mat"]
    main = [found[name] for name in ("vanilla", "freelb", "smart", "mat")]
    for part in ("colour", "marker", "line"):
        assert len({str(getattr(look, part)) for look in main}) == 4
