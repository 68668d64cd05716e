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
        folds=collect("<results>/{{task}}/fold{fold}.h5", fold=fold_numbers()),
        samples=samples_of,
        code=lambda w: code_of("train_network.py", f"data.augment.{w.task}", f"data.tasks.{w.task}"),
    output:
        log="<results>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}/log.csv",
        model="<results>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}/model.pt",
        predictions=report(
            "<results>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}/predictions.csv",
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
        manifest="<results>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}/manifest.json",
    log:
        "<logs>/{task}/{encoding}/{variant}/fold{fold}/seed{seed}.log",
    benchmark:
        "<results>/benchmarks/{task}/{encoding}/{variant}/fold{fold}/seed{seed}.tsv"
    conda:
        "../envs/siwcc.yaml"
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
        log="<results>/{task}/{encoding}/{variant}/all/seed{seed}/log.csv",
        model="<results>/{task}/{encoding}/{variant}/all/seed{seed}/model.pt",
        manifest="<results>/{task}/{encoding}/{variant}/all/seed{seed}/manifest.json",
    log:
        "<logs>/{task}/{encoding}/{variant}/all/seed{seed}.log",
    benchmark:
        "<results>/benchmarks/{task}/{encoding}/{variant}/all/seed{seed}.tsv"
