"""The options of the kit, a pytest plugin: pytest reads the conftest of ``--pyargs`` packages too late."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("conformance", "conformance of adversarial fine-tuning methods")
    group.addoption("--method", action="append", metavar="NAME", help="test this method (default: all)")
    group.addoption(
        "--methods-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with custom methods",
    )
