# Data and models from the Hub are downloaded once. No other rule needs a network.
rule fetch:
    output:
        touch("results/cache/fetched/{kind}-{name}"),
    log:
        "results/cache/logs/fetch-{kind}-{name}.log",
    wildcard_constraints:
        kind="task|model",
        name="[^/]+",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "fetch {wildcards.kind} {wildcards.name}"
    shell:
        "harness step fetch {params.file} --{wildcards.kind} {wildcards.name} 2>&1 | tee {log}"


rule tokens:
    input:
        ancient(WORKFLOW.fetched),
    output:
        "results/cache/tokens/{task}/{model}-{tokens}/tokens.json",
    log:
        "results/cache/logs/tokens-{task}-{model}-{tokens}.log",
    localrule: True
    params:
        file=WORKFLOW.file,
    message:
        "token ids of {wildcards.task} for {wildcards.model}"
    shell:
        "harness step tokenize {params.file}"
        " --task {wildcards.task} --model {wildcards.model} 2>&1 | tee {log}"


# The schema is created once, before any run: processes that create it together damage it.
rule store:
    output:
        touch("results/cache/mlflow.ready"),
    log:
        "results/cache/logs/store.log",
    priority: 100
    localrule: True
    message:
        "MLflow store"
    shell:
        "harness step store 2>&1 | tee {log}"
