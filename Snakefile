# Signal intensity-weighted coordinate channels: the study, stage by stage.
#
#   data/raw/<dataset>.manifest.csv        rules/raw.smk        raw files, downloaded or in place
#   data/samples/<dataset>.h5              rules/samples.smk    windows or images with their targets
#   results/<study>/<task>/fold<k>.h5      rules/folds.smk      augmented folds
#   results/<study>/<task>/<encoding>/<variant>/fold<k>/seed<s>/  rules/train.smk
#   results/<study>/<task>/.../external/   rules/external.smk   predictions for other data sets
#   results/<study>/<task>/baselines/      rules/baselines.smk  predictions without a network
#   results/<study>/stats/                 rules/stats.smk      comparisons, errors, tests
#   results/<study>/onsets/                rules/onsets.smk     onsets in whole recordings
#   results/<study>/figures/, report.html  rules/report.smk     figures, and all on one page
from snakemake.utils import min_version

min_version("9.19")


configfile: f"{workflow.current_basedir}/config.yaml"


include: "rules/common.smk"


config.update(checked_config(config))
study = study_files(config)


pathvars:
    results=str(results_of(config["study"])),
    logs=f"logs/{config['study']}",


wildcard_constraints:
    dataset=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    task="|".join(config["run"]),
    encoding="|".join(get_args(EncodingName)),
    variant="|".join(get_args(VariantName)),
    fold="|".join(map(str, fold_numbers())),
    seed=r"\d+",


include: "rules/raw.smk"
include: "rules/samples.smk"
include: "rules/folds.smk"
include: "rules/train.smk"
include: "rules/baselines.smk"
include: "rules/external.smk"
include: "rules/stats.smk"
include: "rules/onsets.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        [data_layout.files(name) for name in study.config.datasets_of_tasks],
        [study.fold_files(task) for task in config["run"]],
        [layout.run_files(run) for run in study.runs()],
        study.baselines() + study.calibrations() + study.robustness(),
        study.external() + study.onsets(),
        [layout.config, layout.report, *study.tables(), *study.figures(FIGURE_KINDS)],
