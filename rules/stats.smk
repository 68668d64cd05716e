"""Statistics.

REQUIRED INPUTS: log.csv of every run, folds.csv of every task
OUTPUTS:         results/{study}/stats/comparisons.csv = the rows of Table 3, ours and published
                 results/{study}/stats/table3.txt      = the same to read
"""


rule compare_encodings:
    """Pair the encodings fold by fold and test the differences."""
    input:
        logs=[path for path in study_runs(config) if path.endswith("log.csv")],
        folds=collect("<results>/{task}/folds.csv", task=config["run"]),
        published=resource_file("table3.csv"),
        code=code_of("compare_encodings.py", "comparisons"),
    output:
        comparisons=report(
            "<results>/stats/comparisons.csv",
            caption="../resources/captions/comparisons.rst",
            category="Comparison",
            labels={"table": "comparisons"},
        ),
        table=report(
            "<results>/stats/table3.txt",
            caption="../resources/captions/table3.rst",
            category="Comparison",
            labels={"table": "Table 3, as text"},
        ),
    log:
        "<logs>/stats/comparisons.log",
    benchmark:
        "<results>/benchmarks/stats/comparisons.tsv"
    localrule: True
    conda:
        "../envs/siwcc.yaml"
    params:
        comparisons=config["comparisons"],
        other_data=tasks_of_other_data(),
    script:
        "../workflow/scripts/compare_encodings.py"
