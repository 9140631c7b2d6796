# Studies. Their journals are undeclared: Snakemake deletes declared outputs before an attempt, but a study resumes
# from its journal. A worker leaves a stamp when the budget is spent.
rule search:
    input:
        tokens=ancient(WORKFLOW.study_tokens),
    output:
        touch(
            f"{WORKFLOW.studies}/{{task}}/{{model}}/{{study}}/{{budget}}/worker{{worker}}"
        ),
    log:
        f"{WORKFLOW.folder}/logs/tune/{{task}}-{{model}}-{{study}}-{{budget}}-{{worker}}.log",
    wildcard_constraints:
        study="[^/]+",
        budget="[^/]+",
        worker="[0-9]+",
    threads: WORKFLOW.threads
    resources:
        runtime=WORKFLOW.study_minutes,
        mem_mb=WORKFLOW.study_memory,
    params:
        file=WORKFLOW.file,
        name=WORKFLOW.study_name,
    message:
        "study {params.name}, worker {wildcards.worker}"
    shell:
        "trap '' TERM; harness step tune {params.file} --study {params.name} --worker {wildcards.worker}"
        " --threads {threads} 2>&1 | tee {log}"


# Runs with tuned values get their key when the values are known.
checkpoint tuned:
    input:
        WORKFLOW.workers,
    output:
        touch(WORKFLOW.tuned),
    log:
        f"{WORKFLOW.folder}/logs/tuned.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "write the tuned files"
    shell:
        "harness step tuned {params.file} 2>&1 | tee {log}"
