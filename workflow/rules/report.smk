rule track:
    input:
        results=WORKFLOW.results,
        tuned=tuned_results,
        plan=WORKFLOW.plan_file,
    output:
        f"{WORKFLOW.folder}/frame.parquet",
        f"{WORKFLOW.folder}/comparisons.parquet",
    log:
        f"{WORKFLOW.folder}/logs/track.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "mirror into MLflow, export frame and comparisons"
    shell:
        "python -m harness track {params.file} 2>&1 | tee {log}"


rule render:
    input:
        frame=f"{WORKFLOW.folder}/frame.parquet",
    output:
        WORKFLOW.tables,
    log:
        f"{WORKFLOW.folder}/logs/render.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "tables"
    shell:
        "python -m harness tables {params.file} > {log} 2>&1"


# `snakemake tables`: tables of the present state; trains nothing.
rule tables:
    log:
        f"{WORKFLOW.folder}/logs/tables.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "tables of the present state"
    shell:
        "(python -m harness track {params.file} && python -m harness tables {params.file}) 2>&1 | tee {log}"
