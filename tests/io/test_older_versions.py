"""A file of an older schema version is refused with one line that says how to get a right one, whatever its kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_models import write_model
from made_study import copied_study, shared_study
from refusals import refused

from siwcc.config import read_config
from siwcc.data.augment.interface import read_folds
from siwcc.evaluation.calibration_file import load_calibration
from siwcc.evaluation.methods import read_predictions
from siwcc.io import checksums
from siwcc.io.checksums import SCHEMA_VERSION, sealed_json
from siwcc.io.shards import SCHEMA_VERSION as SHARD_VERSION
from siwcc.io.shards import read_shard
from siwcc.report.study import Study
from siwcc.training.checkpoint import archive_bytes, load_archive, read_model

RERUN = "delete it and run again"


@pytest.fixture
def study(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return copied_study(shared_study(tmp_path_factory, "ecg"), tmp_path)


def older(text: str) -> str:
    """Sealed JSON as the version before wrote it: its digest is right."""
    content = json.loads(text) | {"schema_version": SCHEMA_VERSION - 1}
    del content["digest"]
    return json.dumps({**content, "digest": checksums._digest(content)})


def make_older(path: Path) -> None:
    path.write_text(older(path.read_text()))


@pytest.mark.parametrize("kind", ["samples", "fold"])
def test_shards(study: Study, kind: str) -> None:
    fold = study.layout.fold("ecg", 1)
    path = fold if kind == "fold" else next((study.data / "samples").glob("*.h5"))
    content = path.read_bytes()
    assert content.startswith(b"siwcc shard %d\n" % SHARD_VERSION)
    path.write_bytes(content.replace(b"siwcc shard %d" % SHARD_VERSION, b"siwcc shard %d" % (SHARD_VERSION - 1), 1))
    with refused(path, f"schema version {SHARD_VERSION - 1}", remedy=RERUN):
        read_shard(path, kind, ())
    if kind == "fold":
        with refused(path, f"schema version {SHARD_VERSION - 1}", remedy=RERUN):
            list(read_folds([path], "signal", ("target",)))


def test_config_and_manifest(study: Study) -> None:
    make_older(study.layout.config)
    with refused(study.layout.config, f"schema version {SCHEMA_VERSION}", remedy=RERUN):
        read_config(study.layout.config)
    predictions = next(study.folder.glob("ecg/coord/full/fold1/*/predictions.csv"))
    manifest = predictions.with_name("manifest.json")
    make_older(manifest)
    with refused(manifest, f"schema version {SCHEMA_VERSION}", remedy=RERUN):
        read_predictions(predictions)


def test_model(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.pt")
    content = load_archive(path, path.read_bytes())
    path.write_bytes(archive_bytes({**content, "metadata": older(content["metadata"])}))
    with refused(path, f"schema version {SCHEMA_VERSION}", remedy="train it again"):
        read_model(path)


def test_calibration(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(older(sealed_json({})))
    with refused(path, f"schema version {SCHEMA_VERSION}", remedy="calibration.json"):
        load_calibration(path)
