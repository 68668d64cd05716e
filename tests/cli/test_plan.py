"""The estimate before a study: what is counted by hand, and what is measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import wfdb

from siwcc.cli import main as cli
from siwcc.cli.plan import TaskPlan, format_plan, plan_study
from siwcc.config import Config, load_study, parse_config, parse_dataset
from siwcc.data.datasets.synthetic.ecg import write_ecg_records
from siwcc.io.errors import InputError
from siwcc.io.shards import shard_writer

SMALL = """
study: small
run: [ecg]
variants: [reduced]
tasks:
  ecg: {dataset: mine, copies_per_sample: 10}
datasets:
  mine: {format: vfdb, synthetic: {samples: 10}}
train: {device: cpu, epochs: 2}
"""


@pytest.fixture
def small(repository: Path, tmp_path: Path) -> Config:
    overlay = tmp_path / "small.yaml"
    overlay.write_text(SMALL)
    return load_study(repository / "config.yaml", [overlay])


def test_overlays_are_merged_deeply_and_lists_replaced(small: Config) -> None:
    assert small.study == "small"
    assert small.variants == ("reduced",)
    assert small.encodings == ("coord", "weighted")
    assert small.tasks["ecg"].copies_per_sample == 10
    assert small.tasks["ecg"].decimate_by == 10
    assert set(small.datasets) == {"mine", "vfdb", "mitdb", "sipakmed"}
    assert small.train.learning_rate == 0.001


def test_the_samples_of_several_data_sets_are_added(small: Config, tmp_path: Path) -> None:
    values = small.model_dump(mode="json")
    values["datasets"]["more"] = {"format": "vfdb", "synthetic": {"samples": 20}}
    values["tasks"]["ecg"]["dataset"] = ["mine", "more"]
    # 4.7 usable events of a synthetic record.
    [plan] = plan_study(parse_config(values), tmp_path)
    assert plan.samples == 47 + 94


@pytest.mark.parametrize(
    ("content", "named"), [("- a list", "bad.yaml"), ("a: [", "bad.yaml"), ("trian: {}", "'train'")]
)
def test_a_bad_overlay_is_one_line(repository: Path, tmp_path: Path, content: str, named: str) -> None:
    overlay = tmp_path / "bad.yaml"
    overlay.write_text(content)
    with pytest.raises(InputError, match=named):
        load_study(repository / "config.yaml", [overlay])
    with pytest.raises(InputError, match=r"absent\.yaml"):
        load_study(repository / "config.yaml", [tmp_path / "absent.yaml"])


def test_the_command_counts_what_it_is_given(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    given = ["plan", "small.yaml", "--config", str(repository / "config.yaml")]
    for cores in ("1", "3"):
        assert cli.main([*given, "--cores", cores]) == 0
        first, second, *_ = capsys.readouterr().out.splitlines()
        assert re.findall(r"\d+", first) == [cores, "1"]
        assert re.findall(r"\d+", second)[0] == "47"
        assert re.search(r"\b10 networks", second)
    assert cli.main(["plan", "absent.yaml", "--config", str(repository / "config.yaml")]) == 1
    assert re.fullmatch(r"siwcc: absent\.yaml: .*\n", capsys.readouterr().err)


def test_counts_by_hand(small: Config, tmp_path: Path) -> None:
    (plan,) = plan_study(small, tmp_path)
    assert plan.samples == 47  # 4.7 usable events a synthetic record
    assert plan.runs == 2 * 1 * 5 * 1
    # Two arms of 470 copies, three channels of 500 float32.
    assert plan.float_bytes == 2 * 470 * 3 * 500 * 4
    # 47 windows of 2 x 5000 with a context twice as long, 470 copies of 2 x 500, 90 % after compression.
    assert plan.disk_bytes == round(0.9 * 4 * (47 * 2 * 5000 * 3 + 470 * 2 * 500))
    # Four fifths of 470 rows in batches of 32, twice over, ten runs: the least that training takes.
    steps = 10 * 2 * 470 * 0.8 / 32
    assert plan.step_s > 0
    assert steps * plan.step_s < plan.compute_s < 2 * steps * plan.step_s + 10 * 4.0 + 1.0


def test_perturbed_samples_are_counted(small: Config, tmp_path: Path) -> None:
    # Noise in five strengths and two leads, one or the other silent; two arms prediction.
    perturbed = small.model_copy(update={"robustness": ("noise", "lead_missing")})
    (without,), (plan,) = plan_study(small, tmp_path), plan_study(perturbed, tmp_path)
    assert (without.perturbed_predictions, plan.perturbed_predictions) == (0, 47 * (5 + 2) * 2)
    assert re.search(r"\b658\b", format_plan([plan], perturbed))
    assert "perturbed" not in format_plan([without], small)


def test_samples_that_are_there_are_counted(small: Config, tmp_path: Path) -> None:
    path = tmp_path / "samples" / "mine.h5"
    with shard_writer(path, "samples", {"dataset": "mine"}) as writer:
        writer.extend({"sample_id": np.array(["a", "b", "c"], dtype=object)})
    (plan,) = plan_study(small, tmp_path)
    assert (plan.samples, plan.sample_source) == (3, str(path))


def test_events_of_wfdb_records_are_counted_where_the_records_are(small: Config, tmp_path: Path) -> None:
    def counted(**values: object) -> int:
        section = parse_dataset({"format": "wfdb", "event_labels": ["VT"], **values})
        (plan,) = plan_study(small.model_copy(update={"datasets": {"mine": section}}), tmp_path / "data")
        return plan.samples

    write_ecg_records(tmp_path / "records", 3, 42)
    notes = [
        note.strip("(\0")
        for path in (tmp_path / "records").glob("*.atr")
        for note in wfdb.rdann(str(path.with_suffix("")), "atr").aux_note
    ]
    assert counted(path=tmp_path / "records") == notes.count("VT") > 0
    assert counted(checksums="mitdb") == 71
    with pytest.raises(InputError):
        counted()


def test_runs_side_by_side_share_the_time(small: Config) -> None:
    plan = TaskPlan("ecg", 47, "somewhere", 10, 0, 0.012, 7200.0, 1_500_000, 2_500_000_000)
    text = format_plan([plan], small, cores=2)
    shown = re.findall(r"\d[\d.]* (?:run|samples|networks|ms|min|MB|GB)", text)
    assert shown[:7] == ["2 run", "47 samples", "10 networks", "12 ms", "60 min", "2 MB", "2.5 GB"]
    assert "2.0 h" in format_plan([plan], small, cores=1)
