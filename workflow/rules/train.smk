# Nothing but a missing result.json trains a run: its inputs are `ancient`. Everything else in the
# run folder, attempt logs included, is undeclared and survives a failed try.
rule train:
    input:
        tokens=ancient(WORKFLOW.tokens),
        store=ancient("results/cache/mlflow.ready"),
    output:
        f"{WORKFLOW.folder}/runs/{{task}}/{{model}}/{{variant}}/{{run}}/result.json",
    log:
        f"{WORKFLOW.folder}/logs/train/{{task}}-{{model}}-{{variant}}-{{run}}.log",
    threads: WORKFLOW.threads
    params:
        file=WORKFLOW.file,
        run=WORKFLOW.run,
    message:
        "{wildcards.task}/{wildcards.model}/{wildcards.variant}/{wildcards.run}"
    shell:
        "python -m harness run --experiment {params.file}"
        " --task {wildcards.task} --model {wildcards.model} --method {wildcards.variant}"
        " --seed {params.run[seed]} --key {params.run[key]} --threads {threads} 2>&1 | tee {log}"
