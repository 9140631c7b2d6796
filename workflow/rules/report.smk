# statistics.parquet is not a declared output: Snakemake would delete it, and the statistics in it are reused.
rule track:
    input:
        results=WORKFLOW.results,
        tuned=lambda wildcards: WORKFLOW.tuned_results(checkpoints),
        plan=WORKFLOW.plan_file,
    output:
        f"{WORKFLOW.folder}/frame.parquet",
        f"{WORKFLOW.folder}/comparisons.parquet",
        f"{WORKFLOW.folder}/environment.json",
    log:
        f"{WORKFLOW.folder}/logs/track.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "mirror runs to MLflow, write the files that tables and figures read"
    shell:
        "harness step track {params.file} 2>&1 | tee {log}"


rule render:
    input:
        frame=f"{WORKFLOW.folder}/frame.parquet",
        environment=f"{WORKFLOW.folder}/environment.json",
        declarations=WORKFLOW.declarations,
    output:
        WORKFLOW.tables,
        WORKFLOW.figures,
        WORKFLOW.report,
    log:
        f"{WORKFLOW.folder}/logs/render.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "tables, figures and report"
    shell:
        "harness step tables {params.file} > {log} 2>&1"


# `snakemake tables`: tables, figures and report of the results that exist; trains nothing.
rule tables:
    log:
        f"{WORKFLOW.folder}/logs/tables.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "tables, figures and report of the results that exist"
    shell:
        "(harness step track {params.file} && harness step tables {params.file}) 2>&1 | tee {log}"
