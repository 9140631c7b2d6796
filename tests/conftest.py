from collections.abc import Iterator

import pytest

from harness.methods.conformance.toy import float64_on_one_thread


@pytest.fixture
def float64() -> Iterator[None]:
    """Compute in float64, for parity."""
    with float64_on_one_thread():
        yield


pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="append", metavar="DIR", help="replay the traces of this folder")
