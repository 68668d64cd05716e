"""The configuration: defaults equal to config.yaml, and one clear line for every kind of mistake."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from refusals import refused
from snakemake.utils import update_config

from siwcc import config as config_module
from siwcc.config import (
    Config,
    FolderSection,
    HerlevSection,
    ImageTask,
    JoinedDatasets,
    SipakmedSection,
    Train,
    VfdbSection,
    WfdbSection,
    check_cores,
    merged,
    parse_config,
    parse_dataset,
    parse_protocol,
    read_config,
    resolve_device,
    write_config,
)
from siwcc.io.errors import InputError

REPOSITORY = Path(__file__).resolve().parent.parent
MITDB = ("url", "checksums", "event_labels", "subjects")
STUDIES = sorted((REPOSITORY / "resources" / "studies").glob("*.yaml"))


def default_values() -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))


def changed(key: str, value: object) -> dict[str, Any]:
    """config.yaml with one value set, by its full key."""
    values = default_values()
    *path, last = key.split(".")
    section = values
    for name in path:
        section = section[name]
    section[last] = value
    return values


def problem_of(key: str, value: object) -> str:
    with pytest.raises(InputError) as caught:
        parse_config(changed(key, value))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("config: ")
    return line


# ------------------------------------------------------------------ defaults


def test_config_yaml_names_every_key_with_the_default_of_the_models() -> None:
    written = default_values()
    # What describes one set has no default.
    mitdb = {"format": "wfdb", **{name: written["datasets"]["mitdb"][name] for name in MITDB}}
    bare = {"datasets": {"vfdb": {"format": "vfdb"}, "mitdb": mitdb, "sipakmed": {"format": "sipakmed"}}}
    assert json.loads(Config.model_validate(bare).model_dump_json()) == written


def test_the_paper_is_what_config_yaml_says() -> None:
    config = parse_config(default_values())
    assert (config.folds, config.seed, config.seeds) == (5, 42, (42,))
    assert (config.train.epochs, config.train.batch_size, config.train.learning_rate) == (15, 32, 1e-3)
    assert config.comparisons == (("coord", "weighted"),)
    assert config.tasks["ecg"].copies_per_sample == 100
    assert config.tasks["nuclei"].copies_per_sample == 20
    assert isinstance(config.dataset_of("ecg"), VfdbSection)
    assert config.dataset_of("ecg").event_labels == ("VF", "VFIB", "VFL", "VT", "ASYS", "HGEA")
    assert isinstance(config.dataset_of("nuclei"), SipakmedSection)
    assert config.task("ecg") is config.tasks["ecg"]
    assert config.task("nuclei") is config.tasks["nuclei"]


def spine_values(**task: Any) -> dict[str, Any]:
    """A study of a new task on a folder of images with three points from five corners."""
    values = default_values()
    values["datasets"]["rays"] = {
        "format": "folder", "kind": "image", "path": "rays", "colours": 1, "image_size": [128, 64],
        "points_from": [["top", 1, 2], ["middle", 3, 4], ["end", 5]], "columns": {"group": "subject"},
    }  # fmt: skip
    values["tasks"]["spine"] = {"kind": "image", "dataset": "rays", **task}
    return values | {"run": ["spine"]}


def test_a_new_task_is_an_entry() -> None:
    config = parse_config(spine_values(title="Vertebrae", sample="radiograph", group="subject"))
    task, data = config.task("spine"), config.dataset_of("spine")
    assert (task.name, config.kind_of("spine"), task.points) == ("spine", "image", ("top", "middle", "end"))
    assert (task.shown_title, task.samples, task.group) == ("Vertebrae", ("radiograph", "radiographs"), "subject")
    assert isinstance(data, FolderSection)
    assert (data.image_shape, data.colours) == ((128, 64), 1)
    assert data.points_from == (("top", "1", "2"), ("middle", "3", "4"), ("end", "5"))
    assert not config.papers_protocol("spine")
    # The paper's tasks are still there, as they were.
    default = parse_config(default_values())
    assert (config.task("ecg"), config.task("nuclei")) == (default.task("ecg"), default.task("nuclei"))


def test_a_new_task_survives_the_file_of_the_study_and_its_protocols(tmp_path: Path) -> None:
    config = parse_config(spine_values(limits=[0.02, 0.04]))
    write_config(tmp_path / "config.json", config)
    assert read_config(tmp_path / "config.json") == config
    task, data = config.task("spine"), config.dataset_of("spine")
    assert parse_protocol(json.loads(json.dumps(data.protocol()))).protocol() == data.protocol()
    assert {"name", "title", "kind", "sample", "group"}.isdisjoint(task.protocol())
    assert ImageTask.model_validate({"name": "spine", **task.protocol()}).limits == (0.02, 0.04)
    # The words and the limits of the kind are no part of what is in the folds.
    assert "limits" not in config.task("nuclei").protocol()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"kind": None}, ["tasks.spine.kind", "signal, image"]),
        ({"dataset": "vfdb"}, ["tasks.spine.dataset", "'vfdb'", "signal"]),
        ({"points": ["middle"]}, ["tasks.spine.points", "'top'"]),
        ({"points": ["top", "top"]}, ["tasks.spine.points", "each point once"]),
        ({"points": ["top", "head"]}, ["tasks.spine.points", "'head'"]),
        ({"limits": [0.1, 0.05]}, ["tasks.spine.limits", "[0.1, 0.05]"]),
        ({"shift": "rewindow"}, ["tasks.spine.shift"]),
        ({"name": "other"}, ["tasks.spine.name"]),
    ],
)
def test_a_new_task_that_cannot_be_is_refused_by_name(changes: dict[str, Any], found: list[str]) -> None:
    values = spine_values(**changes)
    values["tasks"]["spine"] = {key: value for key, value in values["tasks"]["spine"].items() if value is not None}
    with refused("config", *found, remedy=None):
        parse_config(values)


@pytest.mark.parametrize(
    ("key", "meant"), [("run", "run: 'ecgs'"), ("tasks", "tasks.ecgs"), ("external", "external.ecgs")]
)
def test_a_misspelt_task_is_named_with_what_was_meant(key: str, meant: str) -> None:
    wrong = {"run": ["ecgs"], "tasks": {"ecgs": {"dataset": "vfdb"}}, "external": {"ecgs": ["mitdb"]}}
    with refused("config", meant, "did you mean 'ecg'?", remedy=None):
        parse_config(default_values() | {key: wrong[key]})


@pytest.mark.parametrize(("task", "kind"), [("ecg", "signal"), ("nuclei", "image")])
def test_a_folder_of_an_earlier_version_names_the_task_in_place_of_the_kind(task: str, kind: str) -> None:
    now = parse_dataset({"format": "folder", "kind": kind, "path": "x"})
    assert parse_dataset({"format": "folder", "task": task, "path": "x"}) == now
    # As models have it, which hold no path.
    stored = {name: value for name, value in now.protocol().items() if name != "kind"} | {"task": task}
    assert parse_protocol(stored).protocol() == now.protocol()
    with pytest.raises(InputError, match="'kind'"):
        parse_dataset({"format": "folder", "task": "eeg", "path": "x"})


def test_a_square_has_one_size_however_it_is_given() -> None:
    values = {"format": "folder", "kind": "image", "path": "x"}
    square = parse_dataset({**values, "image_size": [64, 64]})
    assert square == parse_dataset({**values, "image_size": 64})
    assert square.protocol()["image_size"] == 64
    with refused("config: dataset", "image_size.1:", "60", remedy=None):
        parse_dataset({**values, "image_size": [64, 60]})


@pytest.mark.parametrize(
    ("run", "names", "known"),
    [
        (["ecg"], ["noise", "blur"], "ecg: noise, wander, lead_missing"),
        (["nuclei"], ["rate"], "nuclei: noise, blur, contrast"),
        (["ecg", "nuclei"], ["tilt"], "'wander', 'lead_missing', 'rate', 'polarity', 'blur', 'contrast'"),
        (["ecg"], ["noise", "noise"], "twice"),
    ],
)
def test_a_perturbation_that_no_task_has_is_refused_with_those_that_there_are(run, names, known) -> None:
    values = default_values() | {"run": run, "robustness": names}
    with refused("config", "robustness", known, remedy=None):
        parse_config(values)


def test_each_task_is_given_the_perturbations_that_it_has() -> None:
    config = parse_config(changed("robustness", ["size", "noise", "wander"]))
    assert config.perturbations_of("ecg") == ("noise", "wander")
    assert config.perturbations_of("nuclei") == ("size", "noise")
    assert parse_config(default_values()).perturbations_of("ecg") == ()


def test_the_only_lead_cannot_be_missing() -> None:
    own = {"format": "folder", "kind": "signal", "path": "mine", "leads": [2]}
    values = default_values() | {"run": ["ecg"], "robustness": ["polarity"]}
    values["datasets"]["mine"] = own
    values["tasks"]["ecg"]["dataset"] = "mine"
    assert parse_config(values).robustness == ("polarity",)
    with refused("config", "robustness", "'lead_missing'", remedy=None):
        parse_config(values | {"robustness": ["lead_missing"]})


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_that_is_shipped_is_valid(path: Path) -> None:
    values = default_values()
    update_config(values, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    assert parse_config(values).study


def test_the_smallest_and_the_demo_study_are_shipped() -> None:
    assert {"demo", "tiny"} <= {path.stem for path in STUDIES}


def test_checked_values_are_valid_again() -> None:
    checked = parse_config(default_values()).model_dump(mode="json")
    assert parse_config(checked).model_dump(mode="json") == checked


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("epoch", 3, None),
        ("fold", 3, "folds"),
        ("train.epoch", 3, "epochs"),
        ("tasks.ecg.copy_per_sample", 3, "copies_per_sample"),
        ("tasks.ecg.augmentation.lowpas_hz", [30, 50], "lowpass_hz"),
        ("tasks.nuclei.augmentation.rotation_degrees", 3, "rotation_deg"),
        ("datasets.vfdb.event_label", ["VT"], "event_labels"),
        ("datasets.sipakmed.centroids", "polygon", "centroid"),
        ("datasets.vfdb.synthetic", {"sample": 3}, "samples"),
    ],
)
def test_an_unknown_key_is_named_with_what_was_meant(key: str, value: object, meant: str | None) -> None:
    line = problem_of(key, value)
    full = f"{key}.sample" if key.endswith("synthetic") else key
    assert f"unknown key '{full}'" in line
    assert "(allowed: " in line
    if meant is not None:
        assert f"did you mean '{meant}'?" in line


def test_allowed_keys_are_those_of_the_section() -> None:
    line = problem_of("datasets.vfdb.event_label", ["VT"])
    assert "(allowed: event_labels, format, max_excluded, path, points, rate_hz, synthetic, url, window_s)" in line


@pytest.mark.parametrize(
    ("key", "value", "allowed", "found"),
    [
        ("train.epochs", "many", "integer", "'many'"),
        ("train.epochs", True, "integer", "True"),
        ("train.epochs", "1.5", "integer", "'1.5'"),
        ("train.epochs", 2.5, "integer", "2.5"),
        ("train.epochs", 0, "greater than or equal to 1", "0"),
        ("train.epochs", None, "integer", "None"),
        ("train.batch_size", 1, "greater than or equal to 2", "1"),
        ("train.learning_rate", 0, "greater than 0", "0"),
        ("train.learning_rate", float("nan"), "finite", "nan"),
        ("train.device", "gpu", "'auto', 'cpu', 'cuda' or 'mps'", "'gpu'"),
        ("train.compile", "maybe", "'auto', True or False", "'maybe'"),
        ("train.threads", 0, "greater than or equal to 1", "0"),
        ("folds", 1, "greater than or equal to 2", "1"),
        ("folds_by", "record", "'sample' or 'group'", "'record'"),
        ("seed", -1, "greater than or equal to 0", "-1"),
        ("seeds.0", -1, "greater than or equal to 0", "-1"),
        ("encodings.0", "polar", "'none', 'coord', 'weighted', ", "'polar'"),
        (
            "variants.0",
            "half",
            "'full', 'reduced', 'pooled', 'residual', 'dense', 'heatmap', 'median', 'unet' or 'unet_replicate'",
            "'half'",
        ),
        ("study", "a/b", "pattern", "'a/b'"),
        ("study", "../x", "pattern", "'../x'"),
        ("tasks.ecg.copies_per_sample", 0, "greater than or equal to 1", "0"),
        ("tasks.ecg.weighted_at", "both", "'model_rate' or 'source_rate'", "'both'"),
        ("tasks.ecg.augmentation.filter_order", 0, "greater than or equal to 1", "0"),
        ("tasks.nuclei.augmentation.rotation_deg", 181, "less than or equal to 180", "181"),
        ("datasets.vfdb.max_excluded", 1.5, "less than or equal to 1", "1.5"),
        ("datasets.vfdb.rate_hz", -250, "greater than 0", "-250"),
        ("datasets.vfdb.format", "vfdbs", "'vfdb', 'wfdb', 'sipakmed', 'herlev'", "'vfdbs'"),
        ("datasets.sipakmed.image_size", 100, "multiple of 16", "100"),
        ("datasets.sipakmed.centroid", "mass", "'polygon' or 'vertices'", "'mass'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key: str, value: object, allowed: str, found: str) -> None:
    values = default_values()
    *path, last = key.split(".")
    section: Any = values
    for name in path:
        section = section[name]
    section[int(last) if last.isdigit() else last] = value
    with pytest.raises(InputError) as caught:
        parse_config(values)
    line = str(caught.value)
    assert "\n" not in line
    assert f" {key}: " in line or (last == "format" and ".".join(path) in line)
    assert allowed in line
    assert found in line


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("encodings", [], ["encodings:"]),
        ("encodings", "coord", ["encodings:", "'coord'"]),
        ("seeds", [1, 1], ["seeds:", "twice"]),
        ("train", None, ["train:", "None"]),
        ("train", [1], ["train:", "[1]"]),
        ("comparisons", [["coord"]], ["comparisons.0.1:"]),
        ("comparisons", [["coord", "none"]], ["comparisons:", "'none'", "['coord', 'weighted']"]),
        ("comparisons", [["coord", "coord"]], ["comparisons:", "'coord'", "itself"]),
        ("tasks.ecg.dataset", "vfbd", ["tasks.ecg.dataset:", "'vfbd'", "['mitdb', 'sipakmed', 'vfdb']"]),
        ("tasks.ecg.dataset", "sipakmed", ["tasks.ecg.dataset:", "'sipakmed'"]),
        ("tasks.nuclei.dataset", "vfdb", ["tasks.nuclei.dataset:", "'vfdb'"]),
        ("tasks.ecg.dataset", 3, ["tasks.ecg.dataset:", "3"]),
        ("tasks.ecg.dataset", [], ["tasks.ecg.dataset:"]),
        ("tasks.ecg.dataset", ["vfdb", "a b"], ["tasks.ecg.dataset.0:", "'a b'"]),
        ("tasks.ecg.dataset", ["vfdb", "mitdb", "vfdb"], ["tasks.ecg.dataset:", "twice"]),
        ("tasks.ecg.dataset", ["vfdb", "mitbd"], ["tasks.ecg.dataset:", "'mitbd'", "mitdb"]),
        ("tasks.ecg.dataset", ["vfdb", "sipakmed"], ["tasks.ecg.dataset:", "'sipakmed'", "image"]),
        ("tasks.ecg.median_samples", 10, ["tasks.ecg.median_samples:", "odd", "10"]),
        ("tasks.ecg.augmentation.scale", [1.2, 0.8], ["tasks.ecg.augmentation.scale:", "<= 100", "[1.2, 0.8]"]),
        ("tasks.ecg.augmentation.scale", [1.2], ["tasks.ecg.augmentation.scale.1:"]),
        ("tasks.ecg.augmentation.noise_fraction", [0.5, 1.5], ["noise_fraction:", "<= 1", "[0.5, 1.5]"]),
        ("tasks.nuclei.augmentation.scale", [1.25, 0.75], ["tasks.nuclei.augmentation.scale:", "[1.25, 0.75]"]),
        ("tasks.ecg.augmentation.lowpass_hz", [30, 125], ["tasks.ecg.augmentation.lowpass_hz:", "125 Hz", "vfdb"]),
        ("datasets.vfdb.rate_hz", 100, ["tasks.ecg.augmentation.lowpass_hz:", "50 Hz", "vfdb"]),
        ("tasks.ecg.augmentation.highpass_hz", [0.5, 30], ["highpass_hz:", "low-pass"]),
        ("tasks.ecg.augmentation.shift_s", 10, ["tasks.ecg.augmentation.shift_s:", "10 s"]),
        ("tasks.ecg.augmentation.dropout_s", [1, 10], ["tasks.ecg.augmentation.dropout_s:", "10 s"]),
        ("tasks.ecg.decimate_by", 160, ["tasks.ecg.decimate_by:", "32"]),
        ("datasets", {}, ["tasks.ecg.dataset:", "'vfdb'", "[]"]),
        ("datasets.bad name", {"format": "vfdb"}, ["datasets.bad name"]),
    ],
)
def test_values_that_do_not_fit_together(key: str, value: object, found: list[str]) -> None:
    line = problem_of(key, value)
    assert [each for each in found if each not in line] == []


@pytest.mark.parametrize(
    ("variant", "what"), [("residual", "standardised leads"), ("heatmap", "train.online_augmentation")]
)
def test_a_stored_weighted_channel_goes_with_the_leads_as_they_are(variant: str, what: str) -> None:
    values = changed("tasks.ecg.weighted_at", "source_rate")
    assert parse_config(values).tasks["ecg"].weighted_at == "source_rate"
    values["variants"] = [variant]
    if what == "standardised leads":
        values["train"]["by_variant"] = {}
    with refused("config", "tasks.ecg.weighted_at", variant, what, "model_rate", remedy=None):
        parse_config(values)
    assert parse_config(values | {"encodings": ["none"], "comparisons": []}).variants == (variant,)


def test_a_network_for_images_is_not_trained_on_signals() -> None:
    values = changed("variants", ["heatmap", "unet"])
    with refused("config", "variants:", "'unet'", "ecg", remedy=None):
        parse_config(values)
    assert parse_config(values | {"run": ["nuclei"]}).variants == ("heatmap", "unet")


@pytest.mark.parametrize(
    ("key", "value"),
    [("loss", "hinge"), ("decoder", "mean"), ("heatmap_sigma", 0), ("online_augmentation", {"mirror": 1.5})],
)
def test_a_wrong_recipe_of_a_heatmap_is_named(key: str, value: object) -> None:
    assert f"train.by_variant.unet.{key}" in problem_of(f"train.by_variant.unet.{key}", value)


def test_windows_are_longer_than_what_the_filter_adds() -> None:
    values = default_values()
    values["datasets"]["vfdb"] |= {"window_s": 5, "rate_hz": 10}
    ecg = values["tasks"]["ecg"]
    ecg["decimate_by"] = 1
    ecg["augmentation"] |= {
        "filter_order": 8,
        "lowpass_hz": [3, 4],
        "highpass_hz": [0.5, 1],
        "shift_s": 1,
        "dropout_s": [0.5, 1],
    }
    with refused("config", "augmentation.filter_order", 8, 51, remedy=None):
        parse_config(values)
    ecg["augmentation"]["filter_order"] = 7
    assert parse_config(values).tasks["ecg"].augmentation.filter_order == 7


def test_a_longer_shift_does_not_matter_to_windows_cut_anew() -> None:
    values = changed("tasks.ecg.augmentation.shift_s", 10)
    values["tasks"]["ecg"]["shift"] = "rewindow"
    assert parse_config(values).tasks["ecg"].shift == "rewindow"


def test_a_data_set_without_format_is_told_the_formats() -> None:
    line = problem_of("datasets.mine", {"path": "/records"})
    assert "datasets.mine" in line
    assert "format" in line
    assert "vfdb" in line


@pytest.mark.parametrize(
    ("task", "changes", "found"),
    [
        ("ecg", {"rate_hz": 360}, ["rate_hz", "360", "250"]),
        ("ecg", {"window_s": 10}, ["window_s", "10", "20"]),
        ("ecg", {"leads": [1]}, ["leads", "1", "2"]),
        ("ecg", {"points": ["onset", "end"]}, ["points", "['onset']", "['onset', 'end']"]),
        ("nuclei", {"image_size": 128}, ["image_size", "128", "256"]),
    ],
)
def test_data_sets_of_a_task_agree_in_what_shapes_a_sample(
    task: str, changes: dict[str, Any], found: list[str]
) -> None:
    formats = {"ecg": {"format": "wfdb", "event_labels": ["VT"]}, "nuclei": {"format": "herlev"}}
    values = default_values()
    values["tasks"][task]["dataset"] = [{"ecg": "vfdb", "nuclei": "sipakmed"}[task], "other"]
    values["datasets"]["other"] = formats[task]
    assert parse_config(values).datasets_of(task)[0] == "other"
    values["datasets"]["other"] = formats[task] | changes
    with refused("config", f"tasks.{task}.dataset: ", "'other'", *found, remedy=None):
        parse_config(values)


def external_values(**changes: Any) -> dict[str, Any]:
    values = default_values() | {"external": {"ecg": ["mitdb"]}}
    values["datasets"]["mitdb"] |= changes
    return values


def test_an_external_data_set_is_read_and_belongs_to_no_task() -> None:
    config = parse_config(external_values())
    assert (config.external_of("ecg"), config.external_of("nuclei")) == (("mitdb",), ())
    assert config.datasets_in_use == ["mitdb", "sipakmed", "vfdb"]
    assert config.datasets_of("ecg") == ("vfdb",)
    assert parse_config(external_values() | {"run": ["nuclei"]}).datasets_in_use == ["sipakmed"]


@pytest.mark.parametrize(
    ("external", "changes", "found"),
    [
        (["mitbd"], {}, ["'mitbd'", "mitdb"]),
        (["sipakmed"], {}, ["'sipakmed'", "image"]),
        (["mitdb", "mitdb"], {}, ["twice"]),
        (["vfdb"], {}, ["'vfdb'"]),
        (["mitdb"], {"rate_hz": 360}, ["rate_hz", "360"]),
        (["mitdb"], {"leads": [1]}, ["leads", "1"]),
        # The same files under another name.
        (["mitdb"], {"url": "https://physionet.org/files/vfdb/1.0.0/"}, ["'mitdb'", "'vfdb'"]),
    ],
)
def test_an_external_data_set_fits_and_is_not_trained_on(
    external: list[str], changes: dict[str, Any], found: list[str]
) -> None:
    with refused("config", "external.ecg: ", *found, remedy=None):
        parse_config(external_values(**changes) | {"external": {"ecg": external}})


def onsets_values(onsets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A study of onsets; `changes` are of the data set mitdb."""
    values = default_values() | {"onsets": onsets}
    values["datasets"]["mitdb"] |= changes
    return values


def test_onsets_are_looked_for_in_own_and_external_data_sets() -> None:
    config = parse_config(onsets_values({"dataset": "vfdb", "external": ["mitdb"]}))
    assert config.onsets is not None
    assert (config.onsets.dataset, config.onsets.datasets) == (("vfdb",), ("vfdb", "mitdb"))
    assert config.datasets_in_use == ["mitdb", "sipakmed", "vfdb"]


@pytest.mark.parametrize(
    ("key", "value", "changes", "found"),
    [
        ("dataset", [], {}, []),
        ("dataset", 3, {}, ["3"]),
        ("dataset", ["vfdb", "vfdb"], {}, ["twice"]),
        ("dataset", ["vfbd"], {}, ["'vfbd'", "vfdb"]),
        ("dataset", ["sipakmed"], {}, ["'sipakmed'"]),
        ("external", ["vfdb"], {}, ["twice", "vfdb"]),
        ("external", ["sipakmed"], {}, ["'sipakmed'"]),
        ("external", ["mitbd"], {}, ["'mitbd'", "mitdb"]),
        ("external", ["mitdb"], {"leads": [1]}, ["'mitdb'"]),
        ("external", ["mitdb"], {"rate_hz": 360}, ["'mitdb'"]),
        ("external", ["mitdb"], {"url": "https://physionet.org/files/vfdb/1.0.0/"}, ["'mitdb'", "'vfdb'"]),
        ("dataset", ["vfdb", "mitdb"], {"url": "https://physionet.org/files/vfdb/1.0.0/"}, ["'mitdb'", "'vfdb'"]),
        ("training.near_change", 0.6, {}, ["0.5"]),
        ("training.beat_sigma_s", 0.01, {}, ["0.08 s"]),
        ("training", {"beat_sigma_s": 0.2, "stem_strides": [2, 2, 4]}, {}, ["0.2 s", "0.32 s"]),
        ("training.onset_sigma_s", 0, {}, ["0"]),
        ("training.kernel", 4, {}, ["4", "odd"]),
        ("training.stem_kernels", [7, 4, 5], {}, ["4", "odd"]),
    ],
)
def test_a_study_of_onsets_that_cannot_be_done_is_refused(
    key: str, value: object, changes: dict[str, Any], found: list[str]
) -> None:
    onsets: dict[str, Any] = {"dataset": ["vfdb"]}
    section, _, name = key.rpartition(".")
    (onsets.setdefault(section, {}) if section else onsets)[name] = value
    with refused("config", "onsets", *found, remedy=None):
        parse_config(onsets_values(onsets, **changes))


@pytest.mark.parametrize("rate_hz", [50, 250.5])
def test_recordings_have_a_whole_rate_that_baselines_can_filter(rate_hz: float) -> None:
    values = onsets_values({"dataset": ["mitdb"]}, rate_hz=rate_hz)
    with refused("config", "datasets.mitdb.rate_hz", "100", remedy=None):
        parse_config(values)


def test_a_task_does_not_read_the_same_files_under_two_names() -> None:
    values = external_values(url="https://physionet.org/files/vfdb/1.0.0/") | {"external": {}}
    values["tasks"]["ecg"]["dataset"] = ["vfdb", "mitdb"]
    with refused("config", "tasks.ecg.dataset: ", "'mitdb'", "'vfdb'", remedy=None):
        parse_config(values)


def test_external_data_sets_are_given_by_task() -> None:
    with refused("config", "external.mri", remedy=None):
        parse_config(default_values() | {"external": {"mri": ["mitdb"]}})


def test_one_data_set_in_a_list_is_that_data_set_alone() -> None:
    one = parse_config(changed("tasks.ecg.dataset", ["vfdb"]))
    assert one.model_dump_json() == parse_config(default_values()).model_dump_json()
    assert (one.datasets_of("ecg"), one.dataset_of("ecg")) == (("vfdb",), one.datasets["vfdb"])
    assert one.tasks["ecg"].protocol()["dataset"] == "vfdb"


def test_several_data_sets_are_used_as_one(tmp_path: Path) -> None:
    config = parse_config(changed("tasks.ecg.dataset", ["vfdb", "mitdb"]))
    assert config == parse_config(changed("tasks.ecg.dataset", ["mitdb", "vfdb"]))
    assert config.datasets_in_use == ["mitdb", "sipakmed", "vfdb"]
    joined = config.dataset_of("ecg")
    assert isinstance(joined, JoinedDatasets)
    assert (joined.kind, joined.rate_hz, joined.window_s, joined.leads) == ("signal", 250, 20, (1, 2))
    assert joined.protocol() == {"datasets": {name: config.datasets[name].protocol() for name in ("mitdb", "vfdb")}}
    write_config(tmp_path / "config.json", config)
    assert read_config(tmp_path / "config.json") == config
    again = parse_protocol(json.loads(json.dumps(joined.protocol(), sort_keys=True)))
    assert again.protocol() == joined.protocol()


@pytest.mark.parametrize("wrong", [{"datasets": 3}, {"datasets": {"a": 3}}, {"datasets": {"a": {"format": "no"}}}])
def test_preprocessing_settings_of_several_data_sets_may_be_damaged(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        parse_protocol(wrong)


def test_a_section_that_is_not_used_is_not_compared_with_the_others() -> None:
    values = changed("run", ["nuclei"])
    values["tasks"]["ecg"]["dataset"] = "absent"
    assert parse_config(values).run == ("nuclei",)


def test_a_number_that_yaml_takes_for_text_is_a_number() -> None:
    # YAML 1.1, which Snakemake reads, wants 1.0e-3.
    values = changed("train.learning_rate", yaml.safe_load("1e-3"))
    assert parse_config(values).train.learning_rate == 0.001


def test_values_of_the_command_line_are_text() -> None:
    # Snakemake gives {"epochs": "6", ...} for --config 'train={epochs: 6, ...}'.
    values = changed("train", {"epochs": "6", "compile": "true", "learning_rate": "0.01"})
    train = parse_config(values | {"seeds": ["42", "43"]}).train
    assert (train.epochs, train.compile, train.learning_rate) == (6, True, 0.01)
    assert parse_config(values | {"seeds": ["42", "43"]}).seeds == (42, 43)


def test_the_config_is_left_as_it_is() -> None:
    values = default_values()
    before = copy.deepcopy(values)
    parse_config(values)
    assert values == before


# --------------------------------------------------------------- data sets


def test_protocol_holds_what_changes_the_samples_and_nothing_else() -> None:
    here = parse_dataset({"format": "vfdb", "path": "/a", "max_excluded": 0.1, "url": "https://example.org/"})
    assert here.protocol() == parse_dataset({"format": "vfdb", "path": "/b"}).protocol()
    assert set(here.protocol()) == {"format", "synthetic", "event_labels", "window_s", "rate_hz"}
    more = parse_dataset({"format": "vfdb", "event_labels": ["VT", "SVTA"]})
    assert more.protocol()["event_labels"] == ["VT", "SVTA"]
    assert json.loads(json.dumps(more.protocol())) == more.protocol()
    assert parse_dataset({"format": "herlev", "image_size": 128}).protocol() == {
        "format": "herlev",
        "synthetic": None,
        "image_size": 128,
    }


def test_records_and_subjects_may_be_written_as_numbers() -> None:
    values = {"format": "wfdb", "event_labels": ["VT"], "subjects": {202: 7, 201: 7}, "leads": [2, 1]}
    section = parse_dataset(values)
    assert isinstance(section, WfdbSection)
    assert list(section.subjects.items()) == [("201", "7"), ("202", "7")]
    assert parse_protocol(section.protocol()) == section.model_copy(update={"path": Path()})


def test_leads_are_numbered_from_1_in_the_config_and_from_0_in_what_is_stored(tmp_path: Path) -> None:
    values = default_values()
    values["datasets"] |= {
        "records": {"format": "wfdb", "event_labels": ["VT"], "leads": [3, 1]},
        "table": {"format": "folder", "kind": "signal", "path": "mine", "leads": [2, 3]},
    }
    config = parse_config(values)
    write_config(tmp_path / "config.json", config)
    assert read_config(tmp_path / "config.json") == config
    sections = {name: config.datasets[name] for name in ("records", "table")}
    assert [section.model_dump(mode="json")["leads"] for section in sections.values()] == [[3, 1], [2, 3]]
    joined = JoinedDatasets(sections)
    stored = json.loads(json.dumps(joined.protocol()))
    assert [part["leads"] for part in stored["datasets"].values()] == [[2, 0], [1, 2]]
    assert parse_protocol(stored["datasets"]["table"]) == sections["table"].model_copy(update={"path": Path()})
    found = {name: parse_protocol(part) for name, part in stored["datasets"].items()}
    assert [section.leads for section in found.values()] == [(3, 1), (2, 3)]


def test_checksums_do_not_change_the_samples() -> None:
    values = {"format": "wfdb", "event_labels": ["VT"]}
    assert parse_dataset(values | {"checksums": "mitdb"}).protocol() == parse_dataset(values).protocol()
    assert parse_dataset(values | {"subjects": {"1": "a"}}).protocol() != parse_dataset(values).protocol()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"event_labels": []}, "event_labels"),
        ({"leads": [1, 1]}, "leads"),
        ({"leads": []}, "leads"),
        ({"leads": [0, 1]}, "[1, 2]"),
        ({"subjects": {"201": ""}}, "subjects"),
        ({"subjects": ["201", "202"]}, "subjects"),
        ({"subjects": {"201": True}}, "subjects"),
        ({"checksums": "../mitdb"}, "checksums"),
        ({"subject": {}}, "subjects"),
    ],
)
def test_a_wrong_value_of_records_is_named(changes: dict[str, Any], named: str) -> None:
    with refused("config: dataset", named, remedy=None):
        parse_dataset({"format": "wfdb", "event_labels": ["VT"], **changes})


def test_records_have_no_event_labels_unless_they_are_given() -> None:
    with refused("config: dataset", "event_labels", remedy=None):
        parse_dataset({"format": "wfdb"})


def test_data_have_one_origin() -> None:
    synthetic = {"synthetic": {"samples": 3}}
    with refused("config: dataset", "path", "synthetic", remedy=None):
        parse_dataset({"format": "vfdb", "path": "/a", **synthetic})
    with refused("config: dataset", "synthetic", "sipakmed", remedy=None):
        parse_dataset({"format": "herlev", **synthetic})
    section = parse_dataset({"format": "folder", "kind": "signal", **synthetic})
    assert parse_protocol(section.protocol()) == section


def test_a_wrong_entry_of_its_own() -> None:
    with refused("config: dataset", "rate_hz", "number", "'fast'", remedy=None):
        parse_dataset({"format": "vfdb", "rate_hz": "fast"})
    assert isinstance(parse_dataset({"format": "herlev"}), HerlevSection)


# ------------------------------------------------------------------- machine


def test_too_few_cores_are_an_error_because_the_bytes_would_differ() -> None:
    check_cores(Train(threads=2), 2)
    with refused("train.threads", 2, 1):
        check_cores(Train(threads=2), 1)


def test_auto_is_cuda_only_beside_an_nvidia_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [resolve_device(name) for name in ("cpu", "cuda", "mps")] == ["cpu", "cuda", "mps"]
    monkeypatch.setattr(config_module.shutil, "which", lambda _: None)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert resolve_device("auto") == "cpu"
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == "/dev/nvidia0")
    assert resolve_device("auto") == "cuda"
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setattr(config_module.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert resolve_device("auto") == "cuda"


@pytest.mark.parametrize(
    "values",
    [
        {"tasks": {"ecg": {"dataset": "vfbd"}}},
        # A new name with nothing but a path, as `--config 'datasets={vfbd: {path: vfdb}}'` gives it.
        {"datasets": {"vfbd": {"path": "vfdb"}}},
    ],
)
def test_a_misspelt_data_set_is_named_with_what_was_meant(values: dict[str, Any]) -> None:
    base = {"run": ["ecg"], "datasets": {"vfdb": {"format": "vfdb"}}}
    with pytest.raises(InputError) as caught:
        parse_config(merged(base, values))
    assert "vfbd" in caught.value.problem
    assert "'vfdb'" in caught.value.problem


def test_a_new_data_set_without_a_format_has_no_hint() -> None:
    with pytest.raises(InputError) as caught:
        parse_config({"run": ["ecg"], "datasets": {"vfdb": {"format": "vfdb"}, "holter": {"path": "x"}}})
    assert "datasets.holter.format" in caught.value.problem
