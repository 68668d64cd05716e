"""Figures and report.

REQUIRED INPUTS: log.csv of every run
OUTPUTS:         results/{study}/figures/learning_curves_{task}.{svg,png,csv}
"""


rule plot_learning_curves:
    """Mean and spread over the folds, both arms, training and test (Figure 2 of the paper)."""
    input:
        logs=lambda w: [
            path for path in study_runs(config | {"run": [w.task]}) if path.endswith("log.csv")
        ],
        code=code_of("plot_learning_curves.py", "figures"),
    output:
        svg=report("<results>/figures/learning_curves_{task}.svg", category="Learning curves"),
        png="<results>/figures/learning_curves_{task}.png",
        data="<results>/figures/learning_curves_{task}.csv",
    log:
        "<logs>/figures/learning_curves_{task}.log",
    benchmark:
        "<results>/benchmarks/figures/learning_curves_{task}.tsv"
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    script:
        "../workflow/scripts/plot_learning_curves.py"
