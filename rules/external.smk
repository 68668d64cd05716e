"""External validation: predictions for data sets that no network saw.

REQUIRED INPUTS: model.pt of every run, data/samples/{dataset}.h5 of each data set under external
OUTPUTS:         results/{study}/{task}/{encoding}/{variant}/external/{dataset}/predictions.csv
                 results/{study}/{task}/baselines/{baseline}/external/{dataset}/predictions.csv
                 results/{study}/stats/external.csv = their errors

Original samples only. Baselines that learn from the training folds are left out.
"""


rule predict_external:
    """Predict an external data set with every network of one arm, and with those of all folds together."""
    input:
        models=[layout.model(run) for run in arm_runs(config["seeds"])],
        samples=data_layout.samples("{dataset}"),
        training=samples_of,
        code=lambda w: code_of("predict_external.py", f"data.augment.{kind_of(w)}"),
    output:
        predictions=report(
            layout.external("{task}", "{encoding}", "{variant}", "{dataset}"),
            caption="../resources/captions/predictions_csv.rst",
            category="Predictions",
            subcategory="{task}",
            labels={"encoding": "{encoding}", "variant": "{variant}", "external": "{dataset}"},
        ),
    log:
        "<logs>/{task}/{encoding}/{variant}/external/{dataset}.log",
    benchmark:
        layout.benchmark("{task}/{encoding}/{variant}/external", "{dataset}")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(3000),
    params:
        task=lambda w: study.config.task(w.task).protocol(),
        seed=config["seed"],
        protocol=dataset_protocol,
    script:
        "../workflow/scripts/predict_external.py"


rule predict_external_baseline:
    """Predict an external data set without a network."""
    input:
        samples=data_layout.samples("{dataset}"),
        training=samples_of,
        code=lambda w: code_of(
            "predict_external_baseline.py",
            module_of_baseline(w.baseline),
            f"data.augment.{kind_of(w)}",
        ),
    output:
        predictions=layout.external_baseline("{task}", "{baseline}", "{dataset}"),
    log:
        "<logs>/{task}/baselines/{baseline}/external/{dataset}.log",
    benchmark:
        layout.benchmark("{task}/baselines/{baseline}/external", "{dataset}")
    wildcard_constraints:
        baseline="|".join(BASELINES),
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(2000),
    params:
        task=lambda w: study.config.task(w.task).protocol(),
        seed=config["seed"],
        protocol=dataset_protocol,
    script:
        "../workflow/scripts/predict_external_baseline.py"


rule measure_external:
    """Sum up the errors on data sets that no network saw."""
    input:
        predictions=study.external(),
        code=code_of("measure_external.py"),
    output:
        external=report(
            layout.table("external"),
            caption="../resources/captions/external.rst",
            category="Comparison",
            labels={"table": "external data sets"},
        ),
    log:
        "<logs>/stats/external.log",
    benchmark:
        layout.benchmark("stats", "external")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        limits=limits_of_tasks(),
    script:
        "../workflow/scripts/measure_external.py"
