# What the paper's protocol hides: one study for each cell of the 2 x 2 ablation
# {folds by sample, folds by group} x {zero_fill, rewindow}, and one page about all four.
#
#   snakemake --snakefile workflow/leakage_ablation.smk --cores all      (or: make leakage-ablation)
#
# Overlays (--configfile, --config) reach all four; what a cell stands for they cannot change.
#   results/leakage-ablation-<folds_by>-<shift>/  each study, as the Snakefile one folder up makes it
#   results/leakage-ablation/                     cells.csv, .svg, .png and report.html: the four together
from siwcc.io.study_layout import AblationLayout
from snakemake.utils import min_version

min_version("9.19")


configfile: f"{workflow.current_basedir}/../config.yaml"
configfile: f"{workflow.current_basedir}/../resources/studies/leakage-ablation.yaml"


include: "../rules/common.smk"


config.update(checked_config(config))
if len(config["tasks"]["ecg"]["points"]) > 1:
    raise WorkflowError(
        "config: tasks.ecg.points: protocols are compared by one point; take onset alone"
    )


wildcard_constraints:
    dataset=r"[A-Za-z0-9][A-Za-z0-9_-]*",


# The overlay names the paper's own cell, so that the plain Snakefile makes that one from it.
SQUARE = config["study"].removesuffix("-sample-zero_fill")
CELLS = {
    f"{folds_by}-{shift}": {
        **config,
        "study": f"{SQUARE}-{folds_by}-{shift}",
        "folds_by": folds_by,
        "tasks": {**config["tasks"], "ecg": {**config["tasks"]["ecg"], "shift": shift}},
    }
    for folds_by in ["sample", "group"]
    for shift in ["zero_fill", "rewindow"]
}
STUDIES = [
    StudyFiles(StudyLayout(results_of(cell["study"])), parse_config(cell))
    for cell in CELLS.values()
]
page = AblationLayout(layout.folder)


pathvars:
    results=str(results_of(SQUARE)),
    logs=f"logs/{SQUARE}",


# The data are the same for every cell, so their rules stand here once and not in the modules.
include: "../rules/raw.smk"
include: "../rules/samples.smk"
include: "../rules/leakage_ablation.smk"


module sample_zero_fill:
    snakefile:
        "../Snakefile"
    config:
        CELLS["sample-zero_fill"]


module sample_rewindow:
    snakefile:
        "../Snakefile"
    config:
        CELLS["sample-rewindow"]


module group_zero_fill:
    snakefile:
        "../Snakefile"
    config:
        CELLS["group-zero_fill"]


module group_rewindow:
    snakefile:
        "../Snakefile"
    config:
        CELLS["group-rewindow"]


use rule * from sample_zero_fill exclude provide_raw, extract_samples as sample_zero_fill_*


use rule * from sample_rewindow exclude provide_raw, extract_samples as sample_rewindow_*


use rule * from group_zero_fill exclude provide_raw, extract_samples as group_zero_fill_*


use rule * from group_rewindow exclude provide_raw, extract_samples as group_rewindow_*


rule leakage_ablation:
    """The four studies, and what they say together."""
    default_target: True
    input:
        rules.sample_zero_fill_all.input,
        rules.sample_rewindow_all.input,
        rules.group_zero_fill_all.input,
        rules.group_rewindow_all.input,
        rules.summarise_leakage.output,
