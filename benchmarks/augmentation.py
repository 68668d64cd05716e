"""One ECG variant from the raw window to the model's rate, on one thread, against numpy and scipy used plainly."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.processes import Worker, run_together, started
from benchmarks.speed import note

_WINDOWS = 40
_VARIANTS = 20


def measure_augmentation(bench: Bench) -> None:
    """Row `augment`: seconds of the plain code over seconds of ours, for the same variants, in turn.

    Also the facts `fold_write_s` and `fold_open_s`, CPU seconds a variant of the whole stage, file included, and of
    opening that file for training.
    """
    samples = bench.sample_set("ecg")
    size = {"samples": str(samples.path), "windows": _WINDOWS, "variants": _VARIANTS}
    sides = [size | {"dataset": samples.dataset.protocol(), "side": side} for side in ("ours", "published")]
    workers = [Worker("augment_windows", arguments, core=0) for arguments in sides]
    workers.append(Worker("write_and_open", size | {"folder": str(bench.scratch("augment"))}, core=0))
    with started(workers):
        for worker in workers:
            run_together([worker])
        for _ in range(bench.pairs):
            ours, plain, fold = (run_together([worker])[0] for worker in workers)
            note(bench, "augment_ours_s", ours["seconds_a_variant"])
            note(bench, "augment_scripts_s", plain["seconds_a_variant"])
            note(bench, "fold_write_s", fold["write_s"])
            note(bench, "fold_open_s", fold["open_s"])
            bench.values.setdefault("augment", []).append(plain["seconds_a_variant"] / ours["seconds_a_variant"])
