"""Training.

REQUIRED INPUTS: results/{study}/{task}/fold{fold}.h5, all of them, and the samples file
OUTPUTS:         results/{study}/{task}/{encoding}/{variant}/fold{fold}/seed{seed}/
                 log.csv, model.pt, predictions.csv, manifest.json
                 results/{study}/{task}/{encoding}/{variant}/all/seed{seed}/, only where asked for by name:
                 log.csv, model.pt, manifest.json

One job per (encoding, variant, fold, seed). A run that was killed goes on after its last finished
epoch: its state lies in the same folder and is not an output.
"""


rule train_network:
    """Train one network on all folds but one, and evaluate it on that one."""
    input:
        folds=layout.folds("{task}", config["folds"]),
        samples=samples_of,
        code=lambda w: code_of(
            "train_network.py", f"data.augment.{kind_of(w)}", f"data.tasks.{kind_of(w)}"
        ),
    output:
        log=layout.log(RUN),
        model=layout.model(RUN),
        predictions=report(
            layout.predictions(RUN),
            caption="../resources/captions/predictions_csv.rst",
            category="Predictions",
            subcategory="{task}",
            labels={
                "encoding": "{encoding}",
                "variant": "{variant}",
                "fold": "{fold}",
                "seed": "{seed}",
            },
        ),
        manifest=layout.manifest(RUN),
    log:
        "<logs>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}.log",
    benchmark:
        layout.benchmark("{task}/{encoding}/{variant}/fold{fold}", "seed{seed}")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: config["train"]["threads"]
    resources:
        gpu=uses_gpu(),
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        train=lambda w: recipe_of(w.variant),
    script:
        "../workflow/scripts/train_network.py"


use rule train_network as train_on_all with:
    # Train one network on every fold, for use on data that are in none; no number of it is a result.
    output:
        log=layout.log(RUN_ON_ALL),
        model=layout.model(RUN_ON_ALL),
        manifest=layout.manifest(RUN_ON_ALL),
    log:
        "<logs>/{task}/{encoding}/{variant}/all/seed{seed}.log",
    benchmark:
        layout.benchmark("{task}/{encoding}/{variant}/all", "seed{seed}")
