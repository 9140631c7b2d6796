# Nothing but a missing result.json trains a run: its inputs are `ancient`. Everything else in the
# run folder, attempt logs included, is undeclared and survives a failed try. `update` keeps Snakemake from
# deleting a record that somebody else has finished in the meantime. SIGTERM is the run's to answer, with a
# checkpoint, so the shell and `tee` ignore it.
rule train:
    input:
        tokens=ancient(lambda w: WORKFLOW.tokens(WORKFLOW.cells(w))),
        store=ancient("results/cache/mlflow.ready"),
        waited=ancient(WORKFLOW.waited),
    output:
        update(
            f"{WORKFLOW.folder}/runs/{{task}}/{{model}}/{{variant}}/{{run}}/result.json"
        ),
    log:
        f"{WORKFLOW.folder}/logs/train/{{task}}-{{model}}-{{variant}}-{{run}}.log",
    threads: WORKFLOW.threads
    resources:
        runtime=WORKFLOW.minutes,
        mem_mb=WORKFLOW.memory,
    params:
        file=WORKFLOW.file,
        seed=lambda w: WORKFLOW.run(w).seed,
        key=lambda w: WORKFLOW.run(w).key,
    message:
        "{wildcards.task}/{wildcards.model}/{wildcards.variant}/{wildcards.run}"
    shell:
        "trap '' TERM; python -m harness run --experiment {params.file}"
        " --task {wildcards.task} --model {wildcards.model} --method {wildcards.variant}"
        " --seed {params.seed} --key {params.key} --threads {threads} 2>&1 | tee {log}"


# With `runs_per_job`, runs share a process. Their records are no outputs of the job, so a failing run
# takes no other's along; the stamp says that all are there.
rule train_pack:
    input:
        tokens=ancient(lambda w: WORKFLOW.tokens(WORKFLOW.cells(w))),
        store=ancient("results/cache/mlflow.ready"),
        runs=ancient(f"{WORKFLOW.folder}/packs/{{task}}/{{model}}/{{pack}}.json"),
    output:
        touch(f"{WORKFLOW.folder}/packs/{{task}}/{{model}}/{{pack}}.done"),
    log:
        f"{WORKFLOW.folder}/logs/train/{{task}}-{{model}}-{{pack}}.log",
    threads: WORKFLOW.threads
    resources:
        runtime=WORKFLOW.minutes,
        mem_mb=WORKFLOW.memory,
    params:
        file=WORKFLOW.file,
    message:
        "{wildcards.task}/{wildcards.model}: {wildcards.pack}"
    shell:
        "trap '' TERM; python -m harness pack {params.file}"
        " --runs {input.runs} --threads {threads} 2>&1 | tee {log}"


# What an earlier Snakemake left at work when it was killed is waited for, here, where no GPU is held.
rule wait:
    input:
        ancient(f"{WORKFLOW.folder}/left-over.json"),
    output:
        touch(f"{WORKFLOW.folder}/left-over.done"),
    log:
        f"{WORKFLOW.folder}/logs/wait.log",
    localrule: True
    message:
        "wait for what an earlier snakemake left at work"
    shell:
        "python -m harness wait {input} 2>&1 | tee {log}"
