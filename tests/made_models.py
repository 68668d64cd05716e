"""Small untrained networks as `model.pt`, and records to show them: for tests of what uses a trained one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wfdb

from siwcc.config import HerlevSection, ImageTask, SignalTask, VfdbSection
from siwcc.data.tasks.interface import TaskSpec, task_module
from siwcc.evaluation.onset_settings import Measured, OnsetSettings, PlattMap, onset_settings
from siwcc.evaluation.rhythm_rises import RiseSettings
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.nn.paper_networks import Localiser, build_localiser
from siwcc.nn.rhythm_network import RhythmNetwork
from siwcc.training.checkpoint import model_bytes, network_for
from siwcc.training.rhythm import new_network
from siwcc.training.rhythm_checkpoint import read_rhythm_model, rhythm_model_bytes
from siwcc.training.rhythm_windows import RhythmRecipe

# 4 s at 50 Hz: 200 samples, 40 of the model's.
ECG_SECTION = VfdbSection(format="vfdb", window_s=4.0, rate_hz=50.0)
ECG_TASK = SignalTask(
    decimate_by=5,
    median_samples=3,
    augmentation={"shift_s": 1.0, "dropout_s": [0.5, 1.0], "lowpass_hz": [10.0, 20.0], "highpass_hz": [0.5, 2.0]},
)
IMAGE_SECTION = HerlevSection(format="herlev", image_size=32)
IMAGE_TASK = ImageTask(dataset="herlev")


def write_model(
    path: Path,
    variant="heatmap",
    task="ecg",
    settings=None,
    section=None,
    encoding="none",
    layer=None,
    groups=(),
    seed=0,
    silence=0.2,
    prediction=None,
    fold=1,
) -> Path:
    """A network with drawn weights; `prediction` makes one of the paper's say that, whatever it is shown.

    `layer` is (encoding, channels) of the first layer where they are not those of the encoding.
    """
    settings = settings or {"ecg": ECG_TASK, "nuclei": IMAGE_TASK}[task]
    section = section or {"ecg": ECG_SECTION, "nuclei": IMAGE_SECTION}[task]
    spec = task_module(settings.kind).make_spec(settings, section)
    layer_encoding, channels = layer or (encoding, spec.channels)
    torch.manual_seed(seed)
    network = network_for(spec, variant, layer_encoding, channels)
    if isinstance(network.body, DenseNet):
        # A drawn map is flat, and where a flat map is highest is decided by rounding.
        network.body.head.weight.data *= 30
    if prediction is not None:
        share = prediction / spec.output_scale
        torch.nn.init.zeros_(network.body.head.weight)
        torch.nn.init.constant_(network.body.head.bias, math.log(share / (1 - share)))
    metadata = {
        "run": {"task": task, "encoding": encoding, "variant": variant, "fold": fold, "seed": seed},
        "spec": json.loads(spec.to_json()),
        "layer_encoding": layer_encoding,
        "signal_channels": channels,
        "dataset": settings.dataset,
        "dataset_protocol": section.protocol(),
        "task_protocol": settings.protocol(),
        "train": {"online_augmentation": {"order": 0.0, "sign": 0.0, "silence": silence}},
        "training_groups": sorted(groups),
        "versions": {"siwcc": "0", "torch": "2"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_bytes(metadata, network.state_dict()))
    return path


def write_record(folder: Path, name: str, signal_mv: np.ndarray, rate_hz=50, changes=()) -> Path:
    """A WFDB record, format 16 with a thousand steps a millivolt; NaN is invalid. `changes` are (sample, label)."""
    digital = np.where(np.isnan(signal_mv), -32768, np.rint(signal_mv * 1000)).astype(np.int64).T
    leads = digital.shape[1]
    wfdb.Record(
        record_name=name,
        n_sig=leads,
        fs=rate_hz,
        sig_len=len(digital),
        d_signal=digital,
        fmt=["16"] * leads,
        adc_gain=[1000.0] * leads,
        baseline=[0] * leads,
        units=["mV"] * leads,
        adc_res=[16] * leads,
        adc_zero=[0] * leads,
        init_value=[int(value) for value in digital[0]],
        checksum=[int(value) for value in digital.sum(axis=0) % 65536],
        block_size=[0] * leads,
        sig_name=[f"lead{number}" for number in range(leads)],
        file_name=[f"{name}.dat"] * leads,
    ).wrsamp(write_dir=str(folder))
    if changes:
        samples, labels = np.array([sample for sample, _ in changes]), [f"({label}" for _, label in changes]
        wfdb.wrann(name, "atr", samples, symbol=["+"] * len(labels), aux_note=labels, write_dir=str(folder))
    return folder / name


def waves(samples: int, leads=2, seed=0) -> np.ndarray:
    """Smooth noise, float64 (leads, samples), mV in whole thousandths."""
    steps = np.random.default_rng(seed).normal(0, 0.05, (leads, samples))
    drift = np.cumsum(steps, axis=1)
    return np.round(drift - drift.mean(axis=1, keepdims=True), 3)


# ------------------------------------------- models of drawn weights, without data

SPEC = TaskSpec("ecg", "nimesha", ("",), "s", 2, (48,), (19.0,), 20.0)
METADATA: dict[str, Any] = {
    "run": {"task": "ecg", "encoding": "weighted", "variant": "full", "fold": 2, "seed": 7},
    "spec": json.loads(SPEC.to_json()),
    "layer_encoding": "weighted",
    "signal_channels": 2,
    "dataset": "made",
    "dataset_protocol": {"window_s": 20.0},
    "task_protocol": {"shift": "zero_fill"},
    "train": {"epochs": 3},
    "training_groups": ["r1", "r2"],
    "versions": {"siwcc": "0", "torch": "2"},
}


def network() -> Localiser:
    torch.manual_seed(3)
    return build_localiser("nimesha", "full", "weighted", 2, (48,), (19.0,), 20.0)


def written(folder: Path) -> Path:
    """A model.pt of `network` in a folder."""
    path = folder / "model.pt"
    path.write_bytes(model_bytes(METADATA, network().state_dict()))
    return path


SPECS = {
    "nimesha": TaskSpec("ecg", "nimesha", ("",), "s", 2, (48,), (19.0,), 20.0),
    "lakshya": TaskSpec("nuclei", "lakshya", ("_x", "_y"), "px", 3, (32, 32), (31.0, 31.0), 31.0),
    "volume": TaskSpec("scans", "volume", ("_x", "_y", "_z"), "voxel", 1, (9, 12, 10), (9.0, 11.0, 8.0), 11.0),
}
PROTOCOLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nimesha": ({"window_s": 20.0, "rate_hz": 250.0}, {"median_samples": 11, "decimate_by": 10}),
    "lakshya": ({"image_size": 32}, {"border": "reflect"}),
    "volume": ({"volume_shape": [9, 12, 10]}, {}),
}


def write_drawn_model(path: Path, network: str, variant: str, encoding: str, precomputed: bool = False) -> Path:
    """A model with new weights, whose normalisation and learned map are not those of a fresh one."""
    spec = SPECS[network]
    layer, channels = ("none", spec.channels + 1) if precomputed else (encoding, spec.channels)
    torch.manual_seed(5)
    net = network_for(spec, variant, layer, channels)
    generator = torch.Generator().manual_seed(6)
    for name, values in net.state_dict().items():
        if name.endswith(("running_mean", "learned_map")):
            values.normal_(0, 0.5, generator=generator)
        elif name.endswith("running_var"):
            values.uniform_(0.5, 2, generator=generator)
    metadata = {
        "run": {"task": spec.task, "encoding": encoding, "variant": variant, "fold": 2, "seed": 7},
        "spec": json.loads(spec.to_json()),
        "layer_encoding": layer,
        "signal_channels": channels,
        "dataset": "made",
        "dataset_protocol": PROTOCOLS[network][0],
        "task_protocol": PROTOCOLS[network][1],
        "train": {"epochs": 3},
        "training_groups": ["r1", "r2"],
        "versions": {"siwcc": "0", "torch": "2"},
    }
    path.write_bytes(model_bytes(metadata, net.state_dict()))
    return path


# --------------------------------------------------------------- detectors of onsets

# 25 Hz, a step each 0.08 s; a step depends on less than a second.
RECIPE = RhythmRecipe(
    rate_hz=25.0,
    highpass_hz=1.0,
    scale_window_s=41.0,
    width=4,
    stem_kernels=(3,),
    stem_strides=(2,),
    dilations=(1, 2),
    window_s=8.0,
    batches=1,
    batch_size=2,
)
DETECTOR: dict[str, Any] = {
    "recipe": RECIPE.to_json(),
    "leads": [0, 1],
    "event_labels": ["VT", "VF"],
    "datasets": {"made": {"format": "wfdb", "subjects": {"s2": "s1"}}},
    "training_groups": [],
    "fold": 1,
    "seed": 0,
    "versions": {"siwcc": "0", "torch": "2"},
}


# The score is the geometric mean of the onset's probability and of the rise from the 0.8 s before it to those after it.
RISES = RiseSettings(rise_s=0.8, gap_s=0.0, onset_weight=0.5, apart_s=2.0, least_score=0.05, end_level=0.3)


def rhythm_network(seed=0, probability=None, recipe=RECIPE, leads=2) -> RhythmNetwork:
    """A network with drawn weights; `probability` makes it say that at every step."""
    network = new_network(recipe, leads, seed)
    # A drawn logit is near 0.
    network.head.weight.data *= 10
    if probability is not None:
        torch.nn.init.zeros_(network.head.weight)
        torch.nn.init.constant_(network.head.bias, math.log(probability / (1 - probability)))
    return network.eval()


def write_detector(path: Path, seed=0, probability=None, recipe=RECIPE, **metadata) -> Path:
    """A detector of onsets with drawn weights, see `rhythm_network`; `metadata` replace those of `DETECTOR`."""
    values = {**DETECTOR, "recipe": recipe.to_json(), **metadata}
    weights = rhythm_network(seed, probability, recipe, len(values["leads"])).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(rhythm_model_bytes(values, weights))
    return path


def settings_for(paths, threshold=0.5, a=2.0, b=-1.0) -> OnsetSettings:
    """Settings of detectors: p = sigmoid(a logit(score) + b), and the curve as it is."""
    return onset_settings(
        RiseSettings(rise_s=1.0, apart_s=1.0),
        threshold=threshold,
        tolerance_s=2.5,
        score_map=PlattMap(a=a, b=b),
        curve_map=PlattMap(a=1.0, b=0.0),
        measured=(
            Measured(
                dataset="made",
                evaluation="out of fold",
                records=3,
                hours=1.5,
                onsets=8,
                sensitivity=0.75,
                false_alarms_per_hour=2.0,
            ),
        ),
        weights_sha256=tuple(read_rhythm_model(path).metadata.weights_sha256 for path in paths),
    )
