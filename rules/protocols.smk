"""The square of protocols, on one page.

REQUIRED INPUTS: the four studies that workflow/shortcuts.smk makes, which alone includes this file
OUTPUTS:         results/{square}/protocols.{csv,svg,png} = scores of every answer in every cell
                 results/{square}/differences.csv         = between encodings, over folds and records
                 results/{square}/shared.csv              = events by what of them was trained on
                 results/{square}/report.html             = what the paper's protocol hides
"""


rule summarise_protocols:
    """Set the scores of the four studies side by side."""
    input:
        configs=[study.layout.config for study in STUDIES],
        stats=[
            study.layout.table(name)
            for study in STUDIES
            for name in ["errors", "comparisons", "records"]
        ],
        strata=[study.layout.strata_csv("ecg") for study in STUDIES],
        folds=[study.layout.folds("ecg", config["folds"]) for study in STUDIES],
        predictions=[
            path
            for study in STUDIES
            for path in [*map(study.layout.predictions, study.runs()), *study.baselines()]
        ],
        samples=collect(data_layout.samples("{dataset}"), dataset=datasets_in_use(config)),
        excluded=collect(data_layout.excluded("{dataset}"), dataset=datasets_in_use(config)),
        templates=[
            package_file(f"report/templates/{name}")
            for name in ["protocols.html.j2", "macros.html.j2", "report.css"]
        ],
        code=code_of("summarise_protocols.py", "data.tasks.ecg"),
    output:
        svg=report(
            page.figure("svg"),
            caption="../resources/captions/protocols.rst",
            category="Protocols",
            labels={"figure": "test R² under each protocol"},
        ),
        png=page.figure("png"),
        data=page.figure("csv"),
        differences=page.differences,
        shared=page.shared,
        page=report(
            page.report,
            caption="../resources/captions/protocols.rst",
            category="Protocols",
            labels={"page": "what the paper's protocol hides"},
        ),
    log:
        "<logs>/protocols.log",
    benchmark:
        layout.benchmark("figures", "protocols")
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    script:
        "../workflow/scripts/summarise_protocols.py"
