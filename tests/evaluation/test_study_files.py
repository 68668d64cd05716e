"""Which files a config asks for, counted and written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_study import made_config

from siwcc.config import Config
from siwcc.evaluation.study_files import StudyFiles
from siwcc.io.study_layout import StudyLayout

FOLDER = Path("results/made")


def files_of(config: Config) -> StudyFiles:
    return StudyFiles(StudyLayout(FOLDER), config)


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(FOLDER).as_posix() for path in paths]


@pytest.fixture(scope="module")
def mapped() -> StudyFiles:
    """Two variants, one of which makes heatmaps, and perturbed test samples."""
    return files_of(made_config(variants=["full", "heatmap"], robustness=["noise"]))


def test_the_smallest_study() -> None:
    files = files_of(made_config("nuclei"))
    arms = ["coord_full", "weighted_full"]
    stems = ["encodings_nuclei", "forest_instability", "forest_test_r2", "forest_train_r2"]
    stems += ["learning_curves_nuclei_full", *(f"predictions_nuclei_{arm}" for arm in arms)]
    stems += ["records_nuclei_full_weighted_vs_coord", "targets_nuclei"]
    assert names(files.figures(["svg"])) == [f"figures/{stem}.svg" for stem in stems]
    tables = ["comparisons.csv", "table3.txt", "errors.csv", "errors_by_stratum.csv", "records.csv"]
    assert names(files.tables()) == [f"stats/{name}" for name in [*tables, "records_points.csv", "variance.csv"]]
    assert names(files.fold_files("nuclei")) == [
        f"nuclei/{name}" for name in ("folds.csv", "strata.csv", "fold1.h5", "fold2.h5")
    ]
    assert [(run.encoding, run.fold) for run in files.runs()] == [
        (encoding, fold) for encoding in ("coord", "weighted") for fold in (1, 2)
    ]
    assert files.calibrations() == files.robustness() == files.runs(variants=files.mapped_variants) == []


def test_heatmaps_and_perturbed_samples_add_files(mapped: StudyFiles) -> None:
    stems = {path.stem for path in mapped.figures(["csv"])}
    assert {stem for stem in stems if stem.startswith(("reliability", "worst", "robustness", "gaps"))} == {
        "reliability_ecg_coord_heatmap",
        "reliability_ecg_weighted_heatmap",
        "worst_ecg_coord_heatmap",
        "robustness_ecg",
        "gaps_ecg",
    }
    assert names(mapped.tables())[-2:] == ["stats/calibration.csv", "stats/calibration_scores.csv"]
    arms = [f"ecg/{encoding}" for encoding in ("coord", "weighted")]
    assert names(mapped.calibrations()) == [f"{arm}/heatmap/calibration.json" for arm in arms]
    assert names(mapped.robustness()) == [
        f"{arm}/{variant}/robustness.csv" for arm in arms for variant in ("full", "heatmap")
    ]
    assert {run.variant for run in mapped.runs(variants=mapped.mapped_variants)} == {"heatmap"}


def test_every_kind_of_a_figure(mapped: StudyFiles) -> None:
    assert len(mapped.figures(["svg", "png", "csv"])) == 3 * len(mapped.figures(["svg"]))
