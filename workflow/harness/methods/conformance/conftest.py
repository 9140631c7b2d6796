"""Fixtures of the conformance kit."""

from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test once for every selected method."""
    from harness.methods.registry import method_class, method_names

    if "kind" in metafunc.fixturenames:
        folders = tuple(Path(folder).expanduser() for folder in metafunc.config.getoption("methods_dir"))
        names = metafunc.config.getoption("method") or method_names(folders)
        metafunc.parametrize("kind", [method_class(name, folders) for name in names], ids=names)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """Run every test in float64."""
    from harness.methods.conformance.toy import float64_on_one_thread

    with float64_on_one_thread():
        yield
