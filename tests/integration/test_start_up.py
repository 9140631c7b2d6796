"""Plans, lists and help start without the heavy libraries."""

import subprocess
import sys
from pathlib import Path

from harness.util.paths import ROOT

LIGHT = """
import sys
from harness.cli import main
from harness.snakemake.workflow import Workflow
from harness.plan.plan import make_plan
from pathlib import Path
Workflow(make_plan(Path("config/smoke.yaml"), Path(sys.argv[1])))
main(["methods"])
modules = {m.split(".")[0] for m in sys.modules}
heavy = sorted(modules & {"torch", "transformers", "mlflow", "optuna", "pandas", "scipy"})
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def test_planning_and_lists_import_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "names = {m.split('.')[0] for m in sys.modules}\n"
        "heavy = {'torch', 'pandas', 'mlflow', 'optuna', 'matplotlib', 'transformers', 'scipy'}\n"
        "sys.exit(str(names & heavy) if names & heavy else 0)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.stderr == "" and "harness methods" in process.stdout


def test_selecting_the_tables_needs_neither_pandas_nor_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from harness.plan.plan import make_plan; "
        "from harness.plan.outputs import tables_of; "
        "tables_of(make_plan(Path('config/smoke.yaml')).as_file()); "
        "sys.exit(bool({'pandas', 'torch', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
