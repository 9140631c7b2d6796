# The workflow of one experiment: snakemake --configfile config/NAME.yaml (default: quick).
# There is no `configfile:` directive on purpose: no key of one experiment reaches another.
import sys
from pathlib import Path

from harness.cluster.start import start
from harness.plan.workflow import open_workflow

WORKFLOW = open_workflow(workflow)

# `python` in a rule is the one that runs Snakemake, on every node. A prefix takes the place of Snakemake's own,
# so it says again that a command fails in front of a pipe, too.
shell.prefix(f"set -euo pipefail; export PATH={Path(sys.executable).parent}:$PATH; ")


wildcard_constraints:
    task="[^/]+",
    model="[^/]+",
    variant="[^/]+",
    run="seed[0-9]+-[0-9a-f]{8}",
    pack="[0-9]+-[0-9a-f]{8}",


rule all:
    input:
        WORKFLOW.results,
        lambda wildcards: WORKFLOW.tuned_results(checkpoints),
        WORKFLOW.tables,
        WORKFLOW.figures,
        WORKFLOW.report,
    message:
        f"{WORKFLOW.folder}: all runs, tables and figures are there"


include: "workflow/rules/data.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"


# What is told, and checked, before the first job.
onstart:
    start(workflow, WORKFLOW)


# Failure and interruption end with tables of the present state and the failure digest.
onerror:
    shell(
        "python -m harness track {WORKFLOW.file} && python -m harness tables {WORKFLOW.file}"
    )
