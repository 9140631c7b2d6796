"""Fixtures of the conformance kit."""

from collections.abc import Iterator

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each check once for every method asked for."""
    from harness.methods.registry import method_class, method_names

    if "name" in metafunc.fixturenames:
        names = metafunc.config.getoption("method") or method_names()
        for name in names:
            method_class(name)  # an unknown name is told at once, with the valid ones
        metafunc.parametrize("name", names)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """Run every check in float64."""
    from harness.methods.conformance.toy import float64_on_one_thread

    with float64_on_one_thread():
        yield
