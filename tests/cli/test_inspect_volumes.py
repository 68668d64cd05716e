"""What the command line says of a study of volumes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_models import write_drawn_model
from places import REPOSITORY
from refusals import refused

from siwcc.cli.inspect import inspect_file
from siwcc.cli.plan import plan_study
from siwcc.config import Config, load_study
from siwcc.data.augment.volume import write_fold
from siwcc.data.datasets.manifest import provide_raw
from siwcc.data.samples import extract_samples
from siwcc.inference.predictor import Predictor
from siwcc.report.figures.inspection import plot_content
from siwcc.training.checkpoint import read_model


@pytest.fixture(scope="module")
def config() -> Config:
    """The preset."""
    return load_study(REPOSITORY / "config.yaml", [REPOSITORY / "resources" / "studies" / "volume-toy.yaml"])


@pytest.fixture(scope="module")
def folder(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A samples file and a fold of all 40 volumes."""
    folder = tmp_path_factory.mktemp("volumes")
    manifest, dataset = folder / "manifest.csv", config.datasets["spheres"]
    provide_raw("spheres", dataset, folder / "raw", manifest)
    written = (folder / "samples" / "spheres.h5", folder / "spheres.excluded.csv", folder / "spheres.json")
    extract_samples("spheres", dataset, folder / "raw", manifest, *written)
    ids = [f"volumes/{number:04d}" for number in range(40)]
    fold = folder / "fold1.h5"
    write_fold(written[0], ids, config.task("spheres"), config.dataset_of("spheres"), 42, 1, fold)  # type: ignore[arg-type]
    return folder


def test_samples_and_folds_are_described(folder: Path) -> None:
    samples = inspect_file(folder / "samples" / "spheres.h5").facts
    assert (samples["samples"], samples["groups"], samples["volume_shape"]) == (40, 20, "16 x 24 x 24")
    fold = inspect_file(folder / "fold1.h5").facts
    assert (fold["rows"], fold["augmented_rows"], fold["shape"]) == (160, 120, [1, 16, 24, 24])
    assert fold["augmented_rows_without_the_event"] == 0
    beyond = 0
    for axis, last in (("x", 23), ("y", 23), ("z", 15)):
        # Centres are at least 5 voxels from the faces, and copies move by at most 2.
        in_samples, in_fold = (facts[f"target_{axis}_voxel"] for facts in (samples, fold))
        assert 5 <= in_samples["lowest"] <= in_samples["highest"] <= last - 5
        assert in_samples["lowest"] - 2 <= in_fold["lowest"] <= in_samples["lowest"]
        assert in_samples["highest"] <= in_fold["highest"] <= in_samples["highest"] + 2
        beyond += (in_fold["lowest"] < in_samples["lowest"]) + (in_samples["highest"] < in_fold["highest"])
    # Each of the six extremes has three copies, half of which move outwards.
    assert beyond >= 4


def test_samples_and_folds_are_drawn(folder: Path, tmp_path: Path) -> None:
    for name, kind in (("samples/spheres.h5", "samples"), ("fold1.h5", "fold")):
        plot_content(folder / name, kind, tmp_path / f"{kind}.png")
        assert (tmp_path / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


def test_a_study_is_planned(config: Config, folder: Path) -> None:
    for root, samples in ((folder / "nothing", 40), (folder, 40)):
        (plan,) = plan_study(config, root)
        assert (plan.task, plan.samples, plan.runs, plan.perturbed_predictions) == ("spheres", samples, 4, 0)
        # float32 of every volume and of its three copies.
        assert plan.disk_bytes == 4 * (40 + 120) * 16 * 24 * 24


def test_a_network_for_volumes_is_described_and_predicts_no_files(tmp_path: Path) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "volume", "heatmap", "coord_unit")
    assert inspect_file(path).facts["outputs"] == [f"prediction_{axis}_voxel" for axis in "xyz"]
    with refused(path, "volumes"):
        Predictor([read_model(path)])
