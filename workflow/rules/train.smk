# Only a missing result.json trains a run: its inputs are `ancient`. Everything else in the run folder, including
# attempt logs, is undeclared and survives a failed attempt. `update` keeps Snakemake from deleting a result that
# another process has finished in the meantime. The run responds to SIGTERM with a checkpoint, so the shell and
# `tee` ignore it.
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
        "trap '' TERM; harness step run --experiment {params.file}"
        " --task {wildcards.task} --model {wildcards.model} --method {wildcards.variant}"
        " --seed {params.seed} --key {params.key} --threads {threads} 2>&1 | tee {log}"


# With `runs_per_job`, runs share a process. Their results are not outputs of the job, so a failing run does not
# delete the result of another; the stamp says that all have results.
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
        "trap '' TERM; harness step pack {params.file}"
        " --runs {input.runs} --threads {threads} 2>&1 | tee {log}"


# Wait for runs and jobs that an earlier Snakemake left running when it was killed, without holding a GPU.
rule wait:
    input:
        ancient(f"{WORKFLOW.folder}/orphans.json"),
    output:
        touch(f"{WORKFLOW.folder}/orphans.done"),
    log:
        f"{WORKFLOW.folder}/logs/wait.log",
    localrule: True
    message:
        "wait for runs and jobs that an earlier snakemake left running"
    shell:
        "harness step wait {input} 2>&1 | tee {log}"
