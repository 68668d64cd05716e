"""Figures and report.

REQUIRED INPUTS: log.csv and predictions.csv of every run, the folds and samples, the statistics
OUTPUTS:         results/{study}/config.json            = the checked config
                 results/{study}/figures/<name>.{svg,png,csv}
                 results/{study}/report.html            = all of it on one page

A figure that cannot be drawn does not stop the study. Its job warns and writes a placeholder that says what failed, its
numbers are written first, and the report leaves it out and names it. `siwcc report results/{study}` draws it again.
"""


report: "../resources/captions/workflow.rst"


rule record_config:
    """Leave the checked config in the study's folder, before anything else is done."""
    input:
        code=code_of("record_config.py"),
    output:
        config=layout.config,
    log:
        "<logs>/config.log",
    benchmark:
        layout.benchmark("figures", "config")
    priority: 100
    localrule: True
    conda:
        source_file("../envs/siwcc.yaml")
    params:
        config=checked_config(config),
    script:
        "../workflow/scripts/record_config.py"


rule plot_learning_curves:
    """R2 by epoch of one network, both arms, training and test (Figure 2 of the paper)."""
    input:
        logs=lambda w: [layout.log(run) for run in study.runs([w.task])],
        code=code_of("plot_learning_curves.py"),
    output:
        svg=report(
            layout.figure(FIGURES["learning_curves"], "svg"),
            caption="../resources/captions/learning_curves.rst",
            category="Learning curves",
            labels={"task": "{task}", "variant": "{variant}"},
        ),
        png=layout.figure(FIGURES["learning_curves"], "png"),
        data=layout.figure(FIGURES["learning_curves"], "csv"),
    log:
        "<logs>/figures/learning_curves_{task}_{variant}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["learning_curves"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    script:
        "../workflow/scripts/plot_learning_curves.py"


rule plot_forest:
    """The effect on every model by one metric, fold by fold, beside the published one."""
    input:
        comparisons=layout.table("comparisons"),
        code=code_of("plot_forest.py"),
    output:
        svg=report(
            layout.figure(FIGURES["forest"], "svg"),
            caption="../resources/captions/forest.rst",
            category="Effects",
            labels={"metric": "{metric}"},
        ),
        png=layout.figure(FIGURES["forest"], "png"),
        data=layout.figure(FIGURES["forest"], "csv"),
    log:
        "<logs>/figures/forest_{metric}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["forest"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    script:
        "../workflow/scripts/plot_forest.py"


rule plot_encodings:
    """One sample and the channels that the encodings append (Figure 1 of the paper)."""
    input:
        fold=layout.fold("{task}", 1),
        samples=samples_of,
        code=lambda w: code_of("plot_encodings.py", f"data.augment.{kind_of(w)}"),
    output:
        svg=report(
            layout.figure(FIGURES["encodings"], "svg"),
            caption="../resources/captions/encodings.rst",
            category="Encodings",
            labels={"task": "{task}"},
        ),
        png=layout.figure(FIGURES["encodings"], "png"),
        data=layout.figure(FIGURES["encodings"], "csv"),
    log:
        "<logs>/figures/encodings_{task}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["encodings"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        encodings=config["encodings"],
    script:
        "../workflow/scripts/plot_encodings.py"


rule plot_predictions:
    """Best, median and worst prediction of one arm to the augmented test copies, first seed."""
    input:
        predictions=[layout.predictions(run) for run in arm_runs(config["seeds"][:1])],
        folds=layout.folds("{task}", config["folds"]),
        samples=samples_of,
        code=lambda w: code_of("plot_predictions.py", f"data.augment.{kind_of(w)}"),
    output:
        svg=report(
            layout.figure(FIGURES["predictions"], "svg"),
            caption="../resources/captions/predictions.rst",
            category="Predictions",
            labels={"task": "{task}", "encoding": "{encoding}", "variant": "{variant}"},
        ),
        png=layout.figure(FIGURES["predictions"], "png"),
        data=layout.figure(FIGURES["predictions"], "csv"),
    log:
        "<logs>/figures/predictions_{task}_{encoding}_{variant}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["predictions"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    script:
        "../workflow/scripts/plot_predictions.py"


rule plot_gaps:
    """How long before each event the event before lies."""
    input:
        strata=layout.strata_csv("{task}"),
        code=code_of("plot_gaps.py"),
    output:
        svg=report(
            layout.figure(FIGURES["gaps"], "svg"),
            caption="../resources/captions/gaps.rst",
            category="Samples",
            labels={"figure": "gaps", "task": "{task}"},
        ),
        png=layout.figure(FIGURES["gaps"], "png"),
        data=layout.figure(FIGURES["gaps"], "csv"),
    log:
        "<logs>/figures/gaps_{task}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["gaps"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        isolated_s=lambda w: limits_of_tasks()[w.task]["isolated_s"],
    script:
        "../workflow/scripts/plot_gaps.py"


rule plot_targets:
    """Where the targets of the augmented copies lie, fold by fold."""
    input:
        folds=layout.folds("{task}", config["folds"]),
        code=code_of("plot_targets.py"),
    output:
        svg=report(
            layout.figure(FIGURES["targets"], "svg"),
            caption="../resources/captions/targets.rst",
            category="Samples",
            labels={"figure": "targets", "task": "{task}"},
        ),
        png=layout.figure(FIGURES["targets"], "png"),
        data=layout.figure(FIGURES["targets"], "csv"),
    log:
        "<logs>/figures/targets_{task}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["targets"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        title=lambda w: study.config.task(w.task).shown_title,
    script:
        "../workflow/scripts/plot_targets.py"


rule plot_records:
    """Both errors of every record of one comparison."""
    input:
        points=layout.table("records_points"),
        code=code_of("plot_records.py"),
    output:
        svg=report(
            layout.figure(FIGURES["records"], "svg"),
            caption="../resources/captions/plot_records.rst",
            category="Effects",
            labels={
                "task": "{task}",
                "variant": "{variant}",
                "study": "{encoding}",
                "control": "{control}",
            },
        ),
        png=layout.figure(FIGURES["records"], "png"),
        data=layout.figure(FIGURES["records"], "csv"),
    log:
        "<logs>/figures/records_{task}_{variant}_{encoding}_vs_{control}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["records"])
    wildcard_constraints:
        control="[a-z_]+",
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        group=lambda w: study.config.task(w.task).group,
    script:
        "../workflow/scripts/plot_records.py"


rule plot_landmarks:
    """How often each of many points is taken for another, with every encoding of one network."""
    input:
        landmarks=layout.table("landmarks_by_point"),
        code=code_of("plot_landmarks.py"),
    output:
        svg=report(
            layout.figure(FIGURES["landmarks"], "svg"),
            caption="../resources/captions/plot_landmarks.rst",
            category="Predictions",
            labels={"task": "{task}", "variant": "{variant}, by point"},
        ),
        png=layout.figure(FIGURES["landmarks"], "png"),
        data=layout.figure(FIGURES["landmarks"], "csv"),
    log:
        "<logs>/figures/landmarks_{task}_{variant}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["landmarks"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    script:
        "../workflow/scripts/plot_landmarks.py"


rule plot_reliability:
    """Share within the limit, and error, against the confidence of one arm."""
    input:
        bins=layout.table("calibration"),
        code=code_of("plot_reliability.py"),
    output:
        svg=report(
            layout.figure(FIGURES["reliability"], "svg"),
            caption="../resources/captions/reliability.rst",
            category="Confidence",
            labels={"task": "{task}", "encoding": "{encoding}", "variant": "{variant}"},
        ),
        png=layout.figure(FIGURES["reliability"], "png"),
        data=layout.figure(FIGURES["reliability"], "csv"),
    log:
        "<logs>/figures/reliability_{task}_{encoding}_{variant}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["reliability"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    script:
        "../workflow/scripts/plot_reliability.py"


rule plot_worst:
    """The ten samples whose predictions are furthest off, with the heatmaps, first seed."""
    input:
        predictions=[layout.predictions(run) for run in arm_runs(config["seeds"][:1])],
        models=[layout.model(run) for run in arm_runs(config["seeds"][:1])],
        folds=layout.folds("{task}", config["folds"]),
        samples=samples_of,
        strata=layout.strata_csv("{task}"),
        code=lambda w: code_of("plot_worst.py", f"data.augment.{kind_of(w)}"),
    output:
        svg=report(
            layout.figure(FIGURES["worst"], "svg"),
            caption="../resources/captions/worst.rst",
            category="Predictions",
            labels={"task": "{task}", "encoding": "{encoding}", "variant": "{variant}, worst"},
        ),
        png=layout.figure(FIGURES["worst"], "png"),
        data=layout.figure(FIGURES["worst"], "csv"),
    log:
        "<logs>/figures/worst_{task}_{encoding}_{variant}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["worst"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    script:
        "../workflow/scripts/plot_worst.py"


rule plot_robustness:
    """Predictions of every network and encoding against the strength of each perturbation."""
    input:
        robustness=lambda w: study.robustness([w.task]),
        code=code_of("plot_robustness.py"),
    output:
        svg=report(
            layout.figure(FIGURES["robustness"], "svg"),
            caption="../resources/captions/plot_robustness.rst",
            category="Robustness",
            labels={"figure": "all perturbations", "task": "{task}"},
        ),
        png=layout.figure(FIGURES["robustness"], "png"),
        data=layout.figure(FIGURES["robustness"], "csv"),
    log:
        "<logs>/figures/robustness_{task}.log",
    benchmark:
        layout.benchmark("figures", FIGURES["robustness"])
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        title=lambda w: study.config.task(w.task).shown_title,
    script:
        "../workflow/scripts/plot_robustness.py"


rule write_report:
    """The study on one page that needs nothing else."""
    input:
        figures=study.figures(["svg"]),
        stats=study.tables(),
        runs=[layout.run_files(run) for run in study.runs()],
        baselines=study.baselines(),
        external=study.external(),
        folds=[layout.folds(task, config["folds"]) for task in config["run"]],
        assignment=collect(layout.folds_csv("{task}"), task=config["run"]),
        strata=collect(layout.strata_csv("{task}"), task=config["run"]),
        samples=collect(data_layout.samples("{dataset}"), dataset=study.config.datasets_of_tasks),
        excluded=collect(data_layout.excluded("{dataset}"), dataset=study.config.datasets_of_tasks),
        published=resource_file("table3.csv"),
        deviations=resource_file("deviations.yaml"),
        templates=sorted(
            package_file(f"report/templates/{path.name}")
            for path in (PACKAGE / "report" / "templates").iterdir()
            if path.name != "leakage.html.j2"
        ),
        code=code_of(
            "write_report.py",
            *sorted({f"data.tasks.{study.config.kind_of(task)}" for task in config["run"]}),
        ),
    output:
        report=report(
            layout.report,
            caption="../resources/captions/report.rst",
            category="Report",
            labels={"page": "the whole study"},
        ),
        summary=layout.summary,
    log:
        "<logs>/report.log",
    benchmark:
        layout.benchmark("figures", "report")
    group:
        "summary"
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        config=checked_config(config),
    script:
        "../workflow/scripts/write_report.py"
