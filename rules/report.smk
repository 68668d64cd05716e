"""Figures and report.

REQUIRED INPUTS: log.csv and predictions.csv of every run, the folds and samples, the statistics
OUTPUTS:         results/{study}/config.json            = the checked config
                 results/{study}/stats/errors.csv       = errors in seconds or pixels
                 results/{study}/figures/<name>.{svg,png,csv}
                 results/{study}/report.html            = all of it on one page
"""


report: "../resources/captions/workflow.rst"


rule record_config:
    """Leave the checked config in the study's folder, before anything else is done."""
    input:
        code=code_of("record_config.py", "config", "files"),
    output:
        config="<results>/config.json",
    log:
        "<logs>/config.log",
    benchmark:
        "<results>/benchmarks/figures/config.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    params:
        config=config,
    script:
        "../workflow/scripts/record_config.py"


rule measure_errors:
    """Sum up how far the answers of every arm and baseline are off."""
    input:
        predictions=[path for path in study_runs(config) if path.endswith("predictions.csv")],
        baselines=collect(
            "<results>/{task}/baselines/training_mean/predictions.csv", task=config["run"]
        ),
        folds=collect("<results>/{task}/folds.csv", task=config["run"]),
        code=code_of("measure_errors.py", "accuracy"),
    output:
        errors=report(
            "<results>/stats/errors.csv",
            caption="../resources/captions/errors.rst",
            category="Comparison",
            labels={"table": "errors"},
        ),
    log:
        "<logs>/stats/errors.log",
    benchmark:
        "<results>/benchmarks/stats/errors.tsv"
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    params:
        units=units_of_tasks(),
    script:
        "../workflow/scripts/measure_errors.py"


rule plot_learning_curves:
    """R2 by epoch of one network, both arms, training and test (Figure 2 of the paper)."""
    input:
        logs=lambda w: [
            path for path in study_runs(config | {"run": [w.task]}) if path.endswith("log.csv")
        ],
        code=code_of("plot_learning_curves.py", "figures.curves"),
    output:
        svg=report(
            "<results>/figures/learning_curves_{task}_{variant}.svg",
            caption="../resources/captions/learning_curves.rst",
            category="Learning curves",
            labels={"task": "{task}", "variant": "{variant}"},
        ),
        png="<results>/figures/learning_curves_{task}_{variant}.png",
        data="<results>/figures/learning_curves_{task}_{variant}.csv",
    log:
        "<logs>/figures/learning_curves_{task}_{variant}.log",
    benchmark:
        "<results>/benchmarks/figures/learning_curves_{task}_{variant}.tsv"
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    script:
        "../workflow/scripts/plot_learning_curves.py"


rule plot_forest:
    """The effect on every model by one metric, fold by fold, beside the published one."""
    input:
        comparisons="<results>/stats/comparisons.csv",
        code=code_of("plot_forest.py", "figures.forest"),
    output:
        svg=report(
            "<results>/figures/forest_{metric}.svg",
            caption="../resources/captions/forest.rst",
            category="Effects",
            labels={"metric": "{metric}"},
        ),
        png="<results>/figures/forest_{metric}.png",
        data="<results>/figures/forest_{metric}.csv",
    log:
        "<logs>/figures/forest_{metric}.log",
    benchmark:
        "<results>/benchmarks/figures/forest_{metric}.tsv"
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    script:
        "../workflow/scripts/plot_forest.py"


rule plot_encodings:
    """One sample and the channels that the encodings append (Figure 1 of the paper)."""
    input:
        fold="<results>/{task}/fold1.h5",
        samples=samples_of,
        code=lambda w: code_of("plot_encodings.py", "figures.signals", f"augment.{w.task}"),
    output:
        svg=report(
            "<results>/figures/encodings_{task}.svg",
            caption="../resources/captions/encodings.rst",
            category="Encodings",
            labels={"task": "{task}"},
        ),
        png="<results>/figures/encodings_{task}.png",
        data="<results>/figures/encodings_{task}.csv",
    log:
        "<logs>/figures/encodings_{task}.log",
    benchmark:
        "<results>/benchmarks/figures/encodings_{task}.tsv"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    params:
        encodings=config["encodings"],
    script:
        "../workflow/scripts/plot_encodings.py"


rule plot_predictions:
    """Best, median and worst answer of one arm to the augmented test copies, first seed."""
    input:
        predictions=collect(
            "<results>/{{task}}/{{encoding}}/{{variant}}/fold{fold}/seed{seed}/predictions.csv",
            fold=fold_numbers(),
            seed=config["seeds"][0],
        ),
        folds=collect("<results>/{{task}}/fold{fold}.h5", fold=fold_numbers()),
        samples=samples_of,
        code=lambda w: code_of("plot_predictions.py", "figures.signals", f"augment.{w.task}"),
    output:
        svg=report(
            "<results>/figures/predictions_{task}_{encoding}_{variant}.svg",
            caption="../resources/captions/predictions.rst",
            category="Answers",
            labels={"task": "{task}", "encoding": "{encoding}", "variant": "{variant}"},
        ),
        png="<results>/figures/predictions_{task}_{encoding}_{variant}.png",
        data="<results>/figures/predictions_{task}_{encoding}_{variant}.csv",
    log:
        "<logs>/figures/predictions_{task}_{encoding}_{variant}.log",
    benchmark:
        "<results>/benchmarks/figures/predictions_{task}_{encoding}_{variant}.tsv"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_predictions.py"


rule write_report:
    """The study on one page that needs nothing else."""
    input:
        figures=[path for path in study_figures() if path.endswith(".svg")],
        comparisons="<results>/stats/comparisons.csv",
        errors="<results>/stats/errors.csv",
        runs=study_runs(config),
        folds=collect("<results>/{task}/fold{fold}.h5", task=config["run"], fold=fold_numbers()),
        assignment=collect("<results>/{task}/folds.csv", task=config["run"]),
        samples=collect("data/samples/{dataset}.h5", dataset=datasets_in_use(config)),
        excluded=collect("data/samples/{dataset}.excluded.csv", dataset=datasets_in_use(config)),
        published=resource_file("table3.csv"),
        deviations=resource_file("deviations.yaml"),
        templates=[package_file(f"templates/{name}") for name in ["report.html.j2", "report.css"]],
        code=code_of("write_report.py", "report", *(f"tasks.{task}" for task in config["run"])),
    output:
        report=report(
            "<results>/report.html",
            caption="../resources/captions/report.rst",
            category="Report",
            labels={"page": "the whole study"},
        ),
    log:
        "<logs>/report.log",
    benchmark:
        "<results>/benchmarks/figures/report.tsv"
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    params:
        config=config,
    script:
        "../workflow/scripts/write_report.py"
