"""Folds.

REQUIRED INPUTS: data/samples/{dataset}.h5
OUTPUTS:         results/{study}/{task}/folds.csv     = sample_id, group, fold
                 results/{study}/{task}/strata.csv    = also class, and seconds since the event before
                 results/{study}/{task}/fold{fold}.h5 = copy 0 (the original sample) and the augmented ones
"""


rule assign_folds:
    """Put every sample into one of the folds."""
    input:
        samples=samples_of,
        code=code_of("assign_folds.py"),
    output:
        folds=layout.folds_csv("{task}"),
        strata=layout.strata_csv("{task}"),
    log:
        "<logs>/{task}/folds.log",
    benchmark:
        layout.benchmark("{task}", "folds")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        folds=config["folds"],
        by=config["folds_by"],
        seed=config["seed"],
        rule=lambda w: study.config.task(w.task).folds_rule,
        protocol=dataset_protocol,
    script:
        "../workflow/scripts/assign_folds.py"


rule augment_fold:
    """Make the augmented copies of one fold's samples."""
    input:
        samples=samples_of,
        folds=layout.folds_csv("{task}"),
        code=lambda w: code_of(
            "augment_fold.py", f"data.augment.{kind_of(w)}", f"data.tasks.{kind_of(w)}"
        ),
    output:
        fold=layout.fold("{task}", "{fold}"),
    log:
        "<logs>/{task}/fold{fold}.log",
    benchmark:
        layout.benchmark("{task}", "fold{fold}")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(3000),
    params:
        task=lambda w: study.config.task(w.task).protocol(),
        seed=config["seed"],
        protocol=dataset_protocol,
    script:
        "../workflow/scripts/augment_fold.py"
