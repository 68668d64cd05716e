"""The configuration and the shapes of a task of volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from refusals import refused

from siwcc.config import JoinedDatasets, VolumeTask, join_datasets, parse_config, parse_dataset, parse_protocol
from siwcc.data.tasks.interface import TaskSpec, parse_task, task_module
from siwcc.data.tasks.volume import error_limits, make_spec
from siwcc.evaluation.baselines.constant import centre
from siwcc.evaluation.baselines.intensity import find_centroids
from siwcc.evaluation.baselines.registry import baselines_of
from siwcc.report.protocol import describe_protocol

SCANS = {"format": "folder", "kind": "volume", "path": "/scans", "volume_shape": [16, 24, 32]}


def study(**values: Any) -> dict[str, Any]:
    given = {
        "run": ["ct"],
        "tasks": {"ct": {"kind": "volume", "dataset": "scans"}},
        "datasets": {"scans": SCANS},
        "variants": ["heatmap", "residual"],
    }
    return given | values


def test_a_study_of_volumes():
    config = parse_config(study())
    task = config.task("ct")
    assert isinstance(task, VolumeTask)
    assert (task.name, task.points, task.has_zero_edges) == ("ct", ("point",), False)
    assert config.perturbations_of("ct") == ()
    assert len(describe_protocol(config, ["ct"])) == 1
    spec = make_spec(task, config.dataset_of("ct"))  # type: ignore[arg-type]
    assert spec == TaskSpec("ct", "volume", ("_x", "_y", "_z"), "voxel", 1, (16, 24, 32), (31.0, 23.0, 15.0), 31.0)
    assert (spec.kind, TaskSpec.from_json(spec.to_json())) == ("volume", spec)
    assert task_module("volume").make_spec(task, config.dataset_of("ct")) == spec
    limits = error_limits(spec, task.limits)
    # Of the longest side.
    assert (limits.unit, limits.fine, limits.coarse) == ("voxel", pytest.approx(1.6), pytest.approx(3.2))
    assert parse_task(spec, task.protocol()) == task


@pytest.mark.parametrize("variant", ["full", "reduced", "pooled", "unet"])
def test_variants_without_a_network_for_volumes_are_refused(variant):
    with refused("config", "variants", repr(variant), "volume"):
        parse_config(study(variants=["heatmap", variant]))


def test_a_volume_has_no_perturbations():
    with refused("config", "robustness", "'noise'"):
        parse_config(study(robustness=["noise"]))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"window_s": 10}, "window_s"),
        ({"image_size": 64}, "image_size"),
        ({"order_by": "y", "points_from": [["a", 1, 2], ["b", 3]]}, "order_by"),
        ({"volume_shape": [16, 24]}, "volume_shape"),
        ({"volume_shape": [16, 24, 4]}, "volume_shape"),
    ],
)
def test_keys_that_have_no_meaning_or_no_value_for_volumes(values, key):
    with refused("config: dataset", key, remedy=None):
        parse_dataset(SCANS | values)


@pytest.mark.parametrize("kind", ["signal", "image"])
def test_a_shape_has_no_meaning_for_other_kinds(kind):
    with refused("config: dataset", "volume_shape", remedy=None):
        parse_dataset(SCANS | {"kind": kind})
    plain = {name: value for name, value in SCANS.items() if name != "volume_shape"}
    assert "volume_shape" not in parse_dataset(plain | {"kind": kind}).protocol()


def test_the_protocol_holds_what_shapes_the_samples():
    section = parse_dataset(SCANS)
    assert section.protocol() == {
        **{name: SCANS[name] for name in ("format", "kind", "volume_shape")},
        "table": "samples.csv",
        "synthetic": None,
    }
    assert parse_protocol(section.protocol()).protocol() == section.protocol()


def test_only_volumes_of_one_shape_are_joined():
    one = parse_dataset(SCANS)
    joined = join_datasets({"a": one, "b": parse_dataset(SCANS | {"path": "/others"})})
    assert isinstance(joined, JoinedDatasets)
    assert joined.volume_shape == (16, 24, 32)
    with refused("config: dataset", "volume_shape"):
        join_datasets({"a": one, "b": parse_dataset(SCANS | {"volume_shape": [16, 16, 16]})})


class Rows:
    """The spec of some rows, for baselines that look at nothing else."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec


class TestBaselines:
    SPEC = TaskSpec("ct", "volume", ("_x", "_y", "_z"), "voxel", 1, (2, 3, 5), (4.0, 2.0, 1.0), 4.0)

    def test_the_centre_is_the_middle_along_each_axis(self):
        found = centre(Rows(self.SPEC), np.arange(0), np.arange(2))  # type: ignore[arg-type]
        assert found.tolist() == [[2.0, 1.0, 0.5]] * 2

    def test_the_centroid_by_hand(self):
        weight = np.zeros((1, 2, 3, 5))
        weight[0, 0, 0, 4], weight[0, 1, 2, 0] = 3.0, 1.0
        # Three parts at (4, 0, 0), one at (0, 2, 1).
        assert find_centroids(weight, self.SPEC).tolist() == [[3.0, 0.5, 0.25]]

    def test_those_that_apply(self):
        assert baselines_of("volume") == ["training_mean", "centre", "intensity_centroid", "inverted_centroid"]
