"""Figures and report.

REQUIRED INPUTS: every run, the folds and samples, the statistics
OUTPUTS:         results/{study}/config.json            = the checked config
                 results/{study}/figures/<name>.{svg,png,csv}
                 results/{study}/report.html            = all of it on one page

One job draws all figures: each takes less time than Python needs to start. A figure that cannot be drawn does not stop
the study. The job warns and writes a placeholder with the reason, the figure's numbers are written first, and the
report leaves it out and names it. `siwcc report results/{study}` draws the figures of a study that is not complete.
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


rule write_report:
    """Every figure, and the study on one page that needs nothing else."""
    input:
        stats=study.tables(),
        runs=[layout.run_files(run) for run in study.runs()],
        baselines=study.baselines(),
        external=study.external(),
        robustness=study.robustness(),
        onsets=study.onsets(),
        recordings=recordings_of_onsets(),
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
            *sorted(
                f"data.{package}.{kind}"
                for package in ("augment", "tasks")
                for kind in {study.config.kind_of(task) for task in config["run"]}
            ),
        ),
    output:
        report=report(
            layout.report,
            caption="../resources/captions/report.rst",
            category="Report",
            labels={"page": "the whole study"},
        ),
        summary=layout.summary,
        figures=[
            report(
                path,
                caption="../resources/captions/figure.rst",
                category="Figures",
                labels={"figure": path.stem},
            )
            for path in study.figures(["svg"])
        ],
        other=study.figures(["png", "csv"]),
    log:
        "<logs>/report.log",
    benchmark:
        layout.benchmark("figures", "report")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000) if study.onsets() else growing(1000),
    params:
        config=checked_config(config),
    script:
        "../workflow/scripts/write_report.py"
