# statistics.parquet is no declared output: Snakemake would delete it, and with it what is known already.
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
        "mirror into MLflow, export what tables and figures read"
    shell:
        "python -m harness track {params.file} 2>&1 | tee {log}"


rule render:
    input:
        frame=f"{WORKFLOW.folder}/frame.parquet",
        environment=f"{WORKFLOW.folder}/environment.json",
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
        "python -m harness tables {params.file} > {log} 2>&1"


# `snakemake tables`: tables, figures and report of the present state; trains nothing.
rule tables:
    log:
        f"{WORKFLOW.folder}/logs/tables.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "tables, figures and report of the present state"
    shell:
        "(python -m harness track {params.file} && python -m harness tables {params.file}) 2>&1 | tee {log}"
