"""The 2 x 2 leakage ablation, on one page.

REQUIRED INPUTS: the four studies that workflow/leakage_ablation.smk makes, which alone includes this file
OUTPUTS:         results/{ablation}/cells.{csv,svg,png}    = scores of every method in every cell
                 results/{ablation}/differences.csv        = between encodings, over folds and records
                 results/{ablation}/window_overlap.csv     = events by what of them was trained on
                 results/{ablation}/report.html            = what the paper's protocol hides
"""


rule summarise_leakage:
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
            for name in ["leakage.html.j2", "macros.html.j2", "report.css"]
        ],
        code=code_of("summarise_leakage.py", "data.tasks.signal"),
    output:
        svg=report(
            page.figure("svg"),
            caption="../resources/captions/leakage_cells.rst",
            category="Protocols",
            labels={"figure": "test R² under each protocol"},
        ),
        png=page.figure("png"),
        data=page.figure("csv"),
        differences=page.differences,
        window_overlap=page.window_overlap,
        page=report(
            page.report,
            caption="../resources/captions/leakage_cells.rst",
            category="Protocols",
            labels={"page": "what the paper's protocol hides"},
        ),
    log:
        "<logs>/leakage_ablation.log",
    benchmark:
        layout.benchmark("figures", "leakage_ablation")
    localrule: True
    conda:
        source_file("../envs/siwcc.yaml")
    script:
        "../workflow/scripts/summarise_leakage.py"
