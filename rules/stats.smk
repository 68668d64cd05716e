"""Statistics.

REQUIRED INPUTS: log.csv and predictions.csv of every run, predictions.csv of every baseline,
                 folds.csv and strata.csv of every task
OUTPUTS:         results/{study}/stats/comparisons.csv       = the rows of Table 3, ours and published
                 results/{study}/stats/table3.txt            = the same to read
                 results/{study}/stats/errors.csv            = errors in seconds or pixels
                 results/{study}/stats/errors_by_stratum.csv = the same by record and by class
                 results/{study}/stats/records.csv           = two methods compared record by record
                 results/{study}/stats/records_points.csv    = both errors of each record
                 results/{study}/stats/variance.csv          = variance between folds and between seeds
                 and for tasks of three points or more:
                 results/{study}/stats/landmarks.csv         = errors and confused points
                 results/{study}/stats/landmarks_by_point.csv = the same by point
                 results/{study}/stats/landmark_tests.csv    = encodings compared record by record
                 and where networks make a heatmap:
                 results/{study}/stats/calibration.csv       = how often they are right, by confidence
                 results/{study}/stats/calibration_scores.csv = how well confidence and probability fit
                 results/{study}/{task}/{encoding}/{variant}/calibration.json = probability for confidence
                 results/{study}/{task}/{encoding}/{variant}/robustness.csv, where the config's robustness names
                 something                                   = errors on perturbed test samples
"""


rule compare_encodings:
    """Pair the encodings fold by fold and test the differences."""
    input:
        logs=[layout.log(run) for run in study.runs()],
        folds=collect(layout.folds_csv("{task}"), task=config["run"]),
        published=resource_file("table3.csv"),
        code=code_of("compare_encodings.py"),
    output:
        comparisons=report(
            layout.table("comparisons"),
            caption="../resources/captions/comparisons.rst",
            category="Comparison",
            labels={"table": "comparisons"},
        ),
        table=report(
            layout.table3,
            caption="../resources/captions/table3.rst",
            category="Comparison",
            labels={"table": "Table 3, as text"},
        ),
    log:
        "<logs>/stats/comparisons.log",
    benchmark:
        layout.benchmark("stats", "comparisons")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        comparisons=config["comparisons"],
        other_data=tasks_of_other_data(),
        other_protocol=tasks_of_other_protocol(),
    script:
        "../workflow/scripts/compare_encodings.py"


rule measure_errors:
    """Sum up how far the predictions of every arm and baseline are off."""
    input:
        predictions=[layout.predictions(run) for run in study.runs()],
        baselines=study.baselines(),
        strata=collect(layout.strata_csv("{task}"), task=config["run"]),
        code=code_of("measure_errors.py"),
    output:
        errors=report(
            layout.table("errors"),
            caption="../resources/captions/errors.rst",
            category="Comparison",
            labels={"table": "errors"},
        ),
        by_stratum=report(
            layout.table("errors_by_stratum"),
            caption="../resources/captions/errors_by_stratum.rst",
            category="Comparison",
            labels={"table": "errors by record and class"},
        ),
    log:
        "<logs>/stats/errors.log",
    benchmark:
        layout.benchmark("stats", "errors")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        limits=limits_of_tasks(),
    script:
        "../workflow/scripts/measure_errors.py"


rule compare_records:
    """Pair the encodings, and every encoding with every baseline, record by record."""
    input:
        predictions=[layout.predictions(run) for run in study.runs()],
        baselines=study.baselines(),
        strata=collect(layout.strata_csv("{task}"), task=config["run"]),
        code=code_of("compare_records.py"),
    output:
        records=report(
            layout.table("records"),
            caption="../resources/captions/records.rst",
            category="Comparison",
            labels={"table": "records"},
        ),
        points=report(
            layout.table("records_points"),
            caption="../resources/captions/records_points.rst",
            category="Comparison",
            labels={"table": "errors of each record"},
        ),
    log:
        "<logs>/stats/records.log",
    benchmark:
        layout.benchmark("stats", "records")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        comparisons=config["comparisons"],
        limits=limits_of_tasks(),
    script:
        "../workflow/scripts/compare_records.py"


rule measure_landmarks:
    """Sum up errors and confused points of tasks with many points, and compare the encodings."""
    input:
        predictions=[layout.predictions(run) for run in landmark_runs()],
        baselines=study.baselines(study.landmark_tasks),
        strata=[layout.strata_csv(task) for task in study.landmark_tasks],
        code=code_of("measure_landmarks.py"),
    output:
        landmarks=report(
            layout.table("landmarks"),
            caption="../resources/captions/landmarks.rst",
            category="Comparison",
            labels={"table": "landmarks"},
        ),
        by_point=report(
            layout.table("landmarks_by_point"),
            caption="../resources/captions/landmarks_by_point.rst",
            category="Comparison",
            labels={"table": "landmarks by point"},
        ),
        tests=report(
            layout.table("landmark_tests"),
            caption="../resources/captions/landmark_tests.rst",
            category="Comparison",
            labels={"table": "landmarks of each record"},
        ),
    log:
        "<logs>/stats/landmarks.log",
    benchmark:
        layout.benchmark("stats", "landmarks")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        comparisons=config["comparisons"],
        limits=limits_of_tasks(),
        frames=study.landmark_frames(),
    script:
        "../workflow/scripts/measure_landmarks.py"


rule split_variance:
    """Split the variance of every arm and comparison between folds and seeds."""
    input:
        logs=[layout.log(run) for run in study.runs()],
        code=code_of("split_variance.py"),
    output:
        variance=report(
            layout.table("variance"),
            caption="../resources/captions/variance.rst",
            category="Comparison",
            labels={"table": "variance"},
        ),
    log:
        "<logs>/stats/variance.log",
    benchmark:
        layout.benchmark("stats", "variance")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        comparisons=config["comparisons"],
    script:
        "../workflow/scripts/split_variance.py"


rule calibrate_confidence:
    """Hold the confidence of every arm against how often it is right."""
    input:
        predictions=[layout.predictions(run) for run in study.runs(variants=study.mapped_variants)],
        strata=collect(layout.strata_csv("{task}"), task=config["run"]),
        code=code_of("calibrate_confidence.py"),
    output:
        bins=report(
            layout.table("calibration"),
            caption="../resources/captions/calibration.rst",
            category="Confidence",
            labels={"table": "by confidence"},
        ),
        scores=report(
            layout.table("calibration_scores"),
            caption="../resources/captions/calibration_scores.rst",
            category="Confidence",
            labels={"table": "scores"},
        ),
    log:
        "<logs>/stats/calibration.log",
    benchmark:
        layout.benchmark("stats", "calibration")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        limits=limits_of_tasks(),
    script:
        "../workflow/scripts/calibrate_confidence.py"


rule fit_calibration:
    """Fit what turns the confidence of one arm's networks into a probability."""
    input:
        predictions=[layout.predictions(run) for run in arm_runs(config["seeds"])],
        strata=layout.strata_csv("{task}"),
        code=code_of("fit_calibration.py"),
    output:
        calibration=layout.calibration("{task}", "{encoding}", "{variant}"),
    log:
        "<logs>/{task}/{encoding}/{variant}/calibration.log",
    benchmark:
        layout.benchmark("{task}/{encoding}/{variant}", "calibration")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    params:
        limits=lambda w: limits_of_tasks()[w.task],
    script:
        "../workflow/scripts/fit_calibration.py"


rule measure_robustness:
    """Predict the test samples of every fold again, perturbed, with one encoding and variant."""
    input:
        models=[layout.model(run) for run in arm_runs(config["seeds"])],
        folds=layout.folds("{task}", config["folds"]),
        samples=samples_of,
        code=lambda w: code_of(
            "measure_robustness.py",
            f"inference.robustness.{kind_of(w)}",
        ),
    output:
        robustness=report(
            layout.robustness("{task}", "{encoding}", "{variant}"),
            caption="../resources/captions/robustness.rst",
            category="Robustness",
            labels={"task": "{task}", "encoding": "{encoding}", "variant": "{variant}"},
        ),
    log:
        "<logs>/{task}/{encoding}/{variant}/robustness.log",
    benchmark:
        layout.benchmark("stats", "robustness_{task}_{encoding}_{variant}")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(3000),
    params:
        perturbations=lambda w: list(study.config.perturbations_of(w.task)),
        limits=lambda w: limits_of_tasks()[w.task],
    script:
        "../workflow/scripts/measure_robustness.py"
