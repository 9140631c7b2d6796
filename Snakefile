# The workflow of one experiment: snakemake --configfile config/NAME.yaml (default: quick).
# It has no `configfile:` directive, so that no key of one experiment reaches another.
import sys
from pathlib import Path

from harness.snakemake.preflight import preflight
from harness.snakemake.workflow import open_workflow

WORKFLOW = open_workflow(workflow)

# `harness` in a rule is that of the Python that runs Snakemake, on every node. The prefix replaces Snakemake's, so
# it repeats that a command before a pipe can fail.
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
        f"{WORKFLOW.folder}: all runs, tables and figures exist"


include: "workflow/rules/data.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"


# A summary and checks before the first job.
onstart:
    preflight(workflow, WORKFLOW)


# After a failure or interruption: tables of the results that exist, and the list of failures.
onerror:
    shell(
        "harness step track {WORKFLOW.file} && harness step tables {WORKFLOW.file}"
    )
