"""Figures and report.

REQUIRED INPUTS: log.csv and predictions.csv of every run, the folds and samples, the statistics
OUTPUTS:         results/{study}/config.json            = the checked config
                 results/{study}/figures/<name>.{svg,png,csv}
                 results/{study}/report.html            = all of it on one page
"""


report: "../resources/captions/workflow.rst"


rule record_config:
    """Leave the checked config in the study's folder, before anything else is done."""
    input:
        code=code_of("record_config.py"),
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
        config=checked_config(config),
    script:
        "../workflow/scripts/record_config.py"


rule plot_learning_curves:
    """R2 by epoch of one network, both arms, training and test (Figure 2 of the paper)."""
    input:
        logs=lambda w: [
            path for path in study_runs(config | {"run": [w.task]}) if path.endswith("log.csv")
        ],
        code=code_of("plot_learning_curves.py"),
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
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_learning_curves.py"


rule plot_forest:
    """The effect on every model by one metric, fold by fold, beside the published one."""
    input:
        comparisons="<results>/stats/comparisons.csv",
        code=code_of("plot_forest.py"),
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
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_forest.py"


rule plot_encodings:
    """One sample and the channels that the encodings append (Figure 1 of the paper)."""
    input:
        fold="<results>/{task}/fold1.h5",
        samples=samples_of,
        code=lambda w: code_of("plot_encodings.py", f"data.augment.{w.task}"),
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
    group:
        "summary"
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
        predictions=of_arm("predictions.csv", config["seeds"][:1]),
        folds=collect("<results>/{{task}}/fold{fold}.h5", fold=fold_numbers()),
        samples=samples_of,
        code=lambda w: code_of("plot_predictions.py", f"data.augment.{w.task}"),
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
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_predictions.py"


rule plot_gaps:
    """How long before each event the event before lies."""
    input:
        strata="<results>/{task}/strata.csv",
        code=code_of("plot_gaps.py"),
    output:
        svg=report(
            "<results>/figures/gaps_{task}.svg",
            caption="../resources/captions/gaps.rst",
            category="Samples",
            labels={"figure": "gaps", "task": "{task}"},
        ),
        png="<results>/figures/gaps_{task}.png",
        data="<results>/figures/gaps_{task}.csv",
    log:
        "<logs>/figures/gaps_{task}.log",
    benchmark:
        "<results>/benchmarks/figures/gaps_{task}.tsv"
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    params:
        isolated_s=lambda w: limits_of_tasks()[w.task]["isolated_s"],
    script:
        "../workflow/scripts/plot_gaps.py"


rule plot_targets:
    """Where the targets of the augmented copies lie, fold by fold."""
    input:
        folds=collect("<results>/{{task}}/fold{fold}.h5", fold=fold_numbers()),
        code=code_of("plot_targets.py"),
    output:
        svg=report(
            "<results>/figures/targets_{task}.svg",
            caption="../resources/captions/targets.rst",
            category="Samples",
            labels={"figure": "targets", "task": "{task}"},
        ),
        png="<results>/figures/targets_{task}.png",
        data="<results>/figures/targets_{task}.csv",
    log:
        "<logs>/figures/targets_{task}.log",
    benchmark:
        "<results>/benchmarks/figures/targets_{task}.tsv"
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_targets.py"


rule plot_records:
    """Both errors of every record of one comparison."""
    input:
        points="<results>/stats/records_points.csv",
        code=code_of("plot_records.py"),
    output:
        svg=report(
            "<results>/figures/records_{task}_{variant}_{encoding}_vs_{control}.svg",
            caption="../resources/captions/plot_records.rst",
            category="Effects",
            labels={
                "task": "{task}",
                "variant": "{variant}",
                "study": "{encoding}",
                "control": "{control}",
            },
        ),
        png="<results>/figures/records_{task}_{variant}_{encoding}_vs_{control}.png",
        data="<results>/figures/records_{task}_{variant}_{encoding}_vs_{control}.csv",
    log:
        "<logs>/figures/records_{task}_{variant}_{encoding}_vs_{control}.log",
    benchmark:
        "<results>/benchmarks/figures/records_{task}_{variant}_{encoding}_vs_{control}.tsv"
    wildcard_constraints:
        control="[a-z_]+",
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_records.py"


rule plot_reliability:
    """Share within the limit, and error, against the confidence of one arm."""
    input:
        bins="<results>/stats/calibration.csv",
        code=code_of("plot_reliability.py"),
    output:
        svg=report(
            "<results>/figures/reliability_{task}_{encoding}_{variant}.svg",
            caption="../resources/captions/reliability.rst",
            category="Confidence",
            labels={"task": "{task}", "encoding": "{encoding}", "variant": "{variant}"},
        ),
        png="<results>/figures/reliability_{task}_{encoding}_{variant}.png",
        data="<results>/figures/reliability_{task}_{encoding}_{variant}.csv",
    log:
        "<logs>/figures/reliability_{task}_{encoding}_{variant}.log",
    benchmark:
        "<results>/benchmarks/figures/reliability_{task}_{encoding}_{variant}.tsv"
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_reliability.py"


rule plot_worst:
    """The ten samples whose answers are furthest off, with the maps of scores, first seed."""
    input:
        predictions=of_arm("predictions.csv", config["seeds"][:1]),
        models=of_arm("model.pt", config["seeds"][:1]),
        folds=collect("<results>/{{task}}/fold{fold}.h5", fold=fold_numbers()),
        samples=samples_of,
        strata="<results>/{task}/strata.csv",
        code=lambda w: code_of("plot_worst.py", f"data.augment.{w.task}"),
    output:
        svg=report(
            "<results>/figures/worst_{task}_{encoding}_{variant}.svg",
            caption="../resources/captions/worst.rst",
            category="Answers",
            labels={"task": "{task}", "encoding": "{encoding}", "variant": "{variant}, worst"},
        ),
        png="<results>/figures/worst_{task}_{encoding}_{variant}.png",
        data="<results>/figures/worst_{task}_{encoding}_{variant}.csv",
    log:
        "<logs>/figures/worst_{task}_{encoding}_{variant}.log",
    benchmark:
        "<results>/benchmarks/figures/worst_{task}_{encoding}_{variant}.tsv"
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_worst.py"


rule plot_robustness:
    """Answers of every network and encoding against the strength of each disturbance."""
    input:
        robustness=lambda w: study_robustness(w.task),
        code=code_of("plot_robustness.py"),
    output:
        svg=report(
            "<results>/figures/robustness_{task}.svg",
            caption="../resources/captions/plot_robustness.rst",
            category="Robustness",
            labels={"figure": "all disturbances", "task": "{task}"},
        ),
        png="<results>/figures/robustness_{task}.png",
        data="<results>/figures/robustness_{task}.csv",
    log:
        "<logs>/figures/robustness_{task}.log",
    benchmark:
        "<results>/benchmarks/figures/robustness_{task}.tsv"
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    script:
        "../workflow/scripts/plot_robustness.py"


rule write_report:
    """The study on one page that needs nothing else."""
    input:
        figures=[path for path in study_figures() if path.endswith(".svg")],
        stats=study_statistics(),
        runs=study_runs(config),
        baselines=study_baselines(),
        folds=collect("<results>/{task}/fold{fold}.h5", task=config["run"], fold=fold_numbers()),
        assignment=collect("<results>/{task}/folds.csv", task=config["run"]),
        strata=collect("<results>/{task}/strata.csv", task=config["run"]),
        samples=collect("data/samples/{dataset}.h5", dataset=datasets_in_use(config)),
        excluded=collect("data/samples/{dataset}.excluded.csv", dataset=datasets_in_use(config)),
        published=resource_file("table3.csv"),
        deviations=resource_file("deviations.yaml"),
        templates=[
            package_file(f"report/templates/{name}")
            for name in [
                "report.html.j2",
                "folds.html.j2",
                "records.html.j2",
                "variance.html.j2",
                "errors.html.j2",
                "confidence.html.j2",
                "robustness.html.j2",
                "macros.html.j2",
                "report.css",
            ]
        ],
        code=code_of("write_report.py", *(f"data.tasks.{task}" for task in config["run"])),
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
    group:
        "summary"
    conda:
        "../envs/siwcc.yaml"
    threads: 1
    params:
        config=checked_config(config),
    script:
        "../workflow/scripts/write_report.py"
