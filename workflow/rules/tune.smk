# Searches. Their journals are undeclared: Snakemake deletes declared outputs before a try, and a search
# goes on from its journal. A worker leaves a stamp when the budget is spent.
rule search:
    input:
        tokens=ancient(WORKFLOW.search_tokens),
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
        runtime=WORKFLOW.search_minutes,
        mem_mb=WORKFLOW.search_memory,
    params:
        file=WORKFLOW.file,
        name=WORKFLOW.search_name,
    message:
        "search {params.name}, worker {wildcards.worker}"
    shell:
        "trap '' TERM; python -m harness tune {params.file} --study {params.name} --worker {wildcards.worker}"
        " --threads {threads} 2>&1 | tee {log}"


# The runs that train with tuned values have a key only when those are known.
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
        "python -m harness tuned {params.file} 2>&1 | tee {log}"
