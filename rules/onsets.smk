"""Onsets in whole recordings; files of this stage are asked for where the config has a section `onsets`.

REQUIRED INPUTS: data/raw/{dataset}.manifest.csv and the files that it lists
OUTPUTS:         data/recordings/{dataset}.h5                       = whole records with their rhythms
                 results/{study}/onsets/folds.csv                   = record, group, fold
                 results/{study}/onsets/fold{fold}/seed{seed}/model.pt = a network that has not seen the fold
                 results/{study}/onsets/{method}/{dataset}.csv      = candidates: record, onset_s, end_s, score
                 results/{study}/onsets/network/{dataset}.curves.h5 = probability at every step
                 results/{study}/onsets/network/{dataset}.robustness.csv = the same in perturbed recordings
                 results/{study}/onsets/onsets.json                 = threshold and calibration of the networks
                 results/{study}/stats/onsets.csv, onsets_by_record.csv, onsets_by_label.csv,
                 onset_episodes.csv, onset_rates.csv, onset_comparisons.csv, onset_calibration.csv, froc.csv

Methods are `network` and those of siwcc/evaluation/baselines/onset_detectors. Records of the data sets under
`onsets.dataset` are predicted by what was trained without their fold, those under `onsets.external` by the mean of
all networks, or by a baseline that was fitted on all folds.
"""


rule extract_recordings:
    """Read whole records, with every change of rhythm."""
    input:
        manifest=data_layout.manifest("{dataset}"),
        code=lambda w: code_of(
            "extract_recordings.py",
            f"data.datasets.{config['datasets'][w.dataset]['format']}",
        ),
    output:
        recordings=data_layout.recordings("{dataset}"),
    log:
        "logs/data/{dataset}.recordings.log",
    benchmark:
        data_layout.benchmark("{dataset}", "recordings")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        protocol=dataset_protocol,
    script:
        "../workflow/scripts/extract_recordings.py"


rule assign_recording_folds:
    """Put every record into a fold; records of one subject stay together."""
    input:
        recordings=recordings_to_train_on(),
        code=code_of("assign_recording_folds.py"),
    output:
        folds=layout.onset_folds,
    log:
        "<logs>/onsets/folds.log",
    benchmark:
        layout.benchmark("onsets", "folds")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000),
    params:
        folds=config["folds"],
    script:
        "../workflow/scripts/assign_recording_folds.py"


rule train_onset_network:
    """Train a network on the records of all folds but one."""
    input:
        recordings=recordings_to_train_on(),
        folds=layout.onset_folds,
        code=code_of("train_onset_network.py"),
    output:
        model=layout.onset_model("{fold}", "{seed}"),
    log:
        "<logs>/onsets/fold{fold}/seed{seed}.log",
    benchmark:
        layout.benchmark("onsets/fold{fold}", "seed{seed}")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        training=onsets_of(config).get("training"),
    script:
        "../workflow/scripts/train_onset_network.py"


rule find_onsets:
    """Look for onsets in the whole records of a data set with the trained networks."""
    input:
        recordings=data_layout.recordings("{dataset}"),
        all_recordings=recordings_to_train_on(),
        folds=layout.onset_folds,
        models=study.onset_models(),
        code=code_of("find_onsets.py"),
    output:
        candidates=layout.onset_candidates("network", "{dataset}"),
        curves=layout.onset_curves("{dataset}"),
    log:
        "<logs>/onsets/network/{dataset}.log",
    benchmark:
        layout.benchmark("onsets/network", "{dataset}")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        curve=onsets_of(config).get("curve"),
    script:
        "../workflow/scripts/find_onsets.py"


rule find_onsets_by_baseline:
    """Look for onsets in the whole records of a data set without a network."""
    input:
        recordings=data_layout.recordings("{dataset}"),
        all_recordings=recordings_to_train_on(),
        folds=layout.onset_folds,
        code=lambda w: code_of("find_onsets_by_baseline.py", module_of_detector(w.method)),
    output:
        candidates=layout.onset_candidates("{method}", "{dataset}"),
    log:
        "<logs>/onsets/{method}/{dataset}.log",
    benchmark:
        layout.benchmark("onsets/{method}", "{dataset}")
    wildcard_constraints:
        method="|".join(DETECTORS),
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    script:
        "../workflow/scripts/find_onsets_by_baseline.py"


rule measure_onsets:
    """Compare what every method found with the annotated onsets."""
    input:
        recordings=recordings_of_onsets(),
        folds=layout.onset_folds,
        models=study.onset_models(),
        candidates=study.onset_candidates(),
        curves=study.onset_curves(),
        code=code_of("measure_onsets.py"),
    output:
        tables=study.onset_tables(),
        settings=layout.onset_settings,
    log:
        "<logs>/stats/onsets.log",
    benchmark:
        layout.benchmark("stats", "onsets")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        onsets=onsets_of(config),
    script:
        "../workflow/scripts/measure_onsets.py"


rule measure_onset_robustness:
    """Look for onsets in perturbed recordings, at the thresholds of the unperturbed ones."""
    input:
        recordings=data_layout.recordings("{dataset}"),
        all_recordings=recordings_to_train_on(),
        folds=layout.onset_folds,
        models=study.onset_models(),
        by_record=layout.table("onsets_by_record"),
        code=code_of("measure_onset_robustness.py"),
    output:
        robustness=layout.onset_robustness("{dataset}"),
    log:
        "<logs>/onsets/network/{dataset}.robustness.log",
    benchmark:
        layout.benchmark("onsets/network", "{dataset}.robustness")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        curve=onsets_of(config).get("curve"),
        names=config["robustness"],
        seed=config["seed"],
    script:
        "../workflow/scripts/measure_onset_robustness.py"
