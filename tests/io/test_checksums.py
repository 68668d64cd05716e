"""Sealed JSON and manifests: what vouches for a file, and what happens when it does not."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from refusals import refused

from siwcc.io.checksums import (
    checked_bytes,
    checked_text,
    manifest_beside,
    parse_json,
    read_bytes,
    read_manifest,
    sealed_json,
    unsealed_json,
)
from siwcc.io.files import write_csv, write_manifest

VALUES = {"b": [1, 2.5, None], "a": {"é": "x"}, "study": "tiny"}


def test_the_seal_is_over_the_plain_content() -> None:
    content = json.loads(sealed_json(VALUES))
    assert (
        content.pop("digest")
        == hashlib.sha256(b'{"a":{"\\u00e9":"x"},"b":[1,2.5,null],"schema_version":3,"study":"tiny"}').hexdigest()
    )
    assert content == VALUES | {"schema_version": 3}
    assert unsealed_json("x", sealed_json(VALUES)) == VALUES


def test_layout_does_not_matter_and_every_value_does() -> None:
    content = json.loads(sealed_json(VALUES))
    assert unsealed_json("x", json.dumps(content)) == VALUES
    for change in ({"study": "tony"}, {"b": [1, 2.5]}, {"more": 1}, {"a": {}}, {"digest": "0" * 64}):
        with refused("x", "digest"):
            unsealed_json("x", json.dumps(content | change))


@pytest.mark.parametrize("version", [0, 2, 4, None, True, "3", "absent"])
def test_another_version_is_named(version: object) -> None:
    content = json.loads(sealed_json(VALUES)) | {"schema_version": version}
    if version == "absent":
        del content["schema_version"]
    with refused("x", "schema version 3"):
        unsealed_json("x", json.dumps(content))


@pytest.mark.parametrize("text", ["", "[1]", "3", "{", "[" * 100_000, "9" * 5000, '{"a": 1} x', "null"])
def test_what_is_no_json_object(text: str) -> None:
    with refused("x", "JSON", remedy=None):
        parse_json("x", text)


def test_numbers_that_json_has_not_are_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        sealed_json({"loss": float("nan")})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with two files under a manifest, and another run's beside it."""
    for seed in ("seed1", "seed2"):
        folder = tmp_path / "ecg" / "coord" / seed
        write_csv(folder / "log.csv", ["epoch"], [[seed]])
        write_csv(folder / "predictions.csv", ["sample_id"], [["a"], [seed]])
        files = (folder / "log.csv", folder / "predictions.csv")
        write_manifest(folder / "manifest.json", f"ecg/coord/{seed}", files, train={"device": "cpu"})
    return tmp_path / "ecg" / "coord" / "seed1"


def test_a_file_that_its_manifest_lists_is_read(run: Path) -> None:
    assert checked_text(run / "log.csv") == "epoch\nseed1\n"
    manifest = read_manifest(run / "manifest.json")
    assert manifest["train"] == {"device": "cpu"}
    assert manifest["outputs"]["log.csv"] == hashlib.sha256(b"epoch\nseed1\n").hexdigest()
    (run / "notes.txt").write_text("not listed")
    assert checked_text(run / "notes.txt", foreign=True) == "not listed"
    # Otherwise the manifest of another folder in the place of a run's would check nothing.
    with refused(run / "manifest.json", "notes.txt"):
        checked_text(run / "notes.txt")


@pytest.mark.parametrize("foreign", [False, True])
def test_another_runs_file_and_an_edited_one_are_recognised(run: Path, foreign: bool) -> None:
    other = run.with_name("seed2")
    for content in (other.joinpath("log.csv").read_bytes(), b"", b"epoch\nseed1\n\n", b"epoch\nseed3\n"):
        (run / "log.csv").write_bytes(content)
        with refused(run / "log.csv", "manifest.json"):
            checked_bytes(run / "log.csv", foreign=foreign)


def test_a_run_in_another_runs_place_is_recognised(run: Path) -> None:
    other = run.with_name("seed2")
    aside = run.with_name("aside")
    run.rename(aside)
    other.rename(run)
    with refused(run / "manifest.json", "ecg/coord/seed2"):
        checked_text(run / "log.csv")
    # A copy that was taken elsewhere to be compared is all right.
    assert checked_text(aside / "log.csv", foreign=True) == "epoch\nseed1\n"


def test_a_damaged_manifest_is_named_beside_our_files_and_passed_over_beside_foreign_ones(run: Path) -> None:
    for content in ("", "{}", '{"name": "a web app"}', "\0\0"):
        (run / "manifest.json").write_text(content)
        with refused(run / "manifest.json"):
            checked_text(run / "log.csv")
        assert checked_text(run / "log.csv", foreign=True) == "epoch\nseed1\n"


def test_a_table_may_have_a_manifest_of_its_own(tmp_path: Path) -> None:
    for name in ("errors", "records"):
        write_csv(tmp_path / f"{name}.csv", [name], [])
        write_manifest(tmp_path / f"{name}.manifest.json", "", [tmp_path / f"{name}.csv"])
    assert manifest_beside(tmp_path / "errors.csv") == tmp_path / "errors.manifest.json"
    (tmp_path / "errors.csv").write_bytes((tmp_path / "records.csv").read_bytes())
    with refused(tmp_path / "errors.csv", "errors.manifest.json"):
        checked_text(tmp_path / "errors.csv")
    assert checked_text(tmp_path / "records.csv") == "records\n"


def test_what_is_no_small_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    for name in ("pipe", ".", "absent"):
        with refused(tmp_path / name, remedy=None):
            read_bytes(tmp_path / name)
    with refused(tmp_path / "large", "4 bytes", remedy=None):
        read_bytes(tmp_path / "large", 4)
    assert read_bytes(tmp_path / "large", 5) == b"12345"
