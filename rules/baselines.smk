"""Baselines: predictions without a network.

REQUIRED INPUTS: results/{study}/{task}/fold{fold}.h5, all of them
OUTPUTS:         results/{study}/{task}/baselines/{baseline}/predictions.csv

One job per (task, baseline); siwcc/evaluation/baselines/registry.py lists them.
"""


rule predict_baseline:
    """Predict every test row without a network, from what the other folds may teach."""
    input:
        folds=layout.folds("{task}", config["folds"]),
        samples=samples_of,
        code=lambda w: code_of(
            "predict_baseline.py",
            module_of_baseline(w.baseline),
            f"data.augment.{kind_of(w)}",
        ),
    output:
        predictions=layout.baseline("{task}", "{baseline}"),
    log:
        "<logs>/{task}/baselines/{baseline}.log",
    benchmark:
        layout.benchmark("{task}/baselines", "{baseline}")
    wildcard_constraints:
        baseline="|".join(BASELINES),
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        # The images of a task are in memory: 0.8 GB of the whole SIPaKMeD.
        mem_mb=growing(2000),
    script:
        "../workflow/scripts/predict_baseline.py"
