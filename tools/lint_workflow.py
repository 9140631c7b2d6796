"""The Snakemake linter, less one rule that does not fit here.

The linter wants a conda environment or container for each rule. This workflow runs in one virtual
environment, with exact pins in requirements/constraints.txt, on every node.
"""

import re
import subprocess
import sys

NOT_OURS = "Specify a conda environment or container for each rule."


def main() -> int:
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/smoke.yaml", "--lint"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    titles = re.findall(r"^    \* (.*):$", text, flags=re.MULTILINE)
    if not titles and "Congratulations" not in text:
        print(f"snakemake --lint did not come to an end:\n{text}")
        return 1
    ours = [title for title in titles if title != NOT_OURS]
    print(text if ours else f"snakemake --lint: nothing but {len(titles)} times: {NOT_OURS}")
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
