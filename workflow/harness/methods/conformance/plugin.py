"""The kit's options, a pytest plugin: pytest reads no conftest of ``--pyargs`` packages in time."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("conformance", "conformance of adversarial fine-tuning methods")
    group.addoption("--method", action="append", metavar="NAME", help="check this method (default: all)")
    group.addoption(
        "--methods-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with methods of your own",
    )
