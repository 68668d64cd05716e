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
        configs=collect("results/{study}/config.json", study=STUDIES),
        stats=collect(
            "results/{study}/stats/{name}.csv",
            study=STUDIES,
            name=["errors", "comparisons", "records"],
        ),
        strata=collect("results/{study}/ecg/strata.csv", study=STUDIES),
        folds=collect("results/{study}/ecg/fold{fold}.h5", study=STUDIES, fold=fold_numbers()),
        predictions=[
            path.replace("<results>", f"results/{study}")
            for study in STUDIES
            for path in [*study_runs(config), *study_baselines()]
            if path.endswith("predictions.csv")
        ],
        samples=collect("data/samples/{dataset}.h5", dataset=datasets_in_use(config)),
        excluded=collect("data/samples/{dataset}.excluded.csv", dataset=datasets_in_use(config)),
        templates=[
            package_file(f"report/templates/{name}")
            for name in ["protocols.html.j2", "macros.html.j2", "report.css"]
        ],
        code=code_of("summarise_protocols.py", "data.tasks.ecg"),
    output:
        svg=report(
            "<results>/protocols.svg",
            caption="../resources/captions/protocols.rst",
            category="Protocols",
            labels={"figure": "test R² under each protocol"},
        ),
        png="<results>/protocols.png",
        data="<results>/protocols.csv",
        differences="<results>/differences.csv",
        shared="<results>/shared.csv",
        page=report(
            "<results>/report.html",
            caption="../resources/captions/protocols.rst",
            category="Protocols",
            labels={"page": "what the paper's protocol hides"},
        ),
    log:
        "<logs>/protocols.log",
    benchmark:
        "<results>/benchmarks/figures/protocols.tsv"
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    script:
        "../workflow/scripts/summarise_protocols.py"
