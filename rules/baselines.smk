"""Baselines: answers that see no network.

REQUIRED INPUTS: results/{study}/{task}/fold{fold}.h5, all of them
OUTPUTS:         results/{study}/{task}/baselines/{baseline}/predictions.csv
"""


rule predict_baseline:
    """Answer every test row with what a baseline learnt from the other folds."""
    input:
        folds=collect("<results>/{{task}}/fold{fold}.h5", fold=fold_numbers()),
        samples=samples_of,
        code=lambda w: code_of("predict_baseline.py", "baselines", f"augment.{w.task}"),
    output:
        predictions="<results>/{task}/baselines/{baseline}/predictions.csv",
    log:
        "<logs>/{task}/baselines/{baseline}.log",
    benchmark:
        "<results>/benchmarks/{task}/baselines/{baseline}.tsv"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/predict_baseline.py"
