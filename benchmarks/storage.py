"""Disk and memory of the image study."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.processes import Message, Worker, run_together, started
from benchmarks.speed import tensor_file_bytes

PAPER_IMAGES = 4023
PAPER_VARIANTS = 20
FEW_VARIANTS = 2
_IMAGE_BYTES = 256 * 256 * 3
_STEPS = {False: 6, True: 2}


def measure_disk(bench: Bench) -> None:
    """Row `disk`: float tensors of every variant over the samples file and the fold files, of the same images."""
    samples = bench.sample_set("nuclei")
    folder = samples.write_two_folds(len(samples.sample_ids), PAPER_VARIANTS, bench.folder / "disk")
    ours = samples.path.stat().st_size + sum(path.stat().st_size for path in folder.glob("fold*.h5"))
    tensors = tensor_file_bytes(folder) * PAPER_VARIANTS * len(samples.sample_ids)
    bench.values["disk"] = [tensors / ours]
    bench.facts["disk_bytes_an_image"] = ours / len(samples.sample_ids)


def measure_memory(bench: Bench) -> None:
    """Rows `memory` and `memory_growth`.

    A process opens folds of all images at hand, trains some steps of 32 at 256 px and says its peak. Of that the
    images themselves are taken off, since the full set's are known (0.79 GB). What more rows keep is too little to be
    seen in a process' size: it is counted by Python's own tracing, with 2 and 20 variants an image, and scaled to the
    80,460 rows of the paper. Evaluation, which keeps no activations, takes less than training and is left out.
    """
    samples = bench.sample_set("nuclei")
    images = len(samples.sample_ids)
    tasks = {variants: _arguments(bench, variants) for variants in (FEW_VARIANTS, PAPER_VARIANTS)}
    with started([Worker("count_opened", arguments) for arguments in tasks.values()]) as workers:
        few, many = run_together(workers)
    row_bytes = (many["bytes"] - few["bytes"]) / (many["rows"] - few["rows"])
    stop: Message = {"stop_after_steps": _STEPS[bench.quick]}
    with started([Worker("train_ours", tasks[FEW_VARIANTS] | stop)]) as workers:
        peak = run_together(workers)[0]["peak_rss_bytes"]
    beyond = peak - images * _IMAGE_BYTES + row_bytes * PAPER_IMAGES * PAPER_VARIANTS
    bench.values["memory"] = [beyond / 1e9]
    bench.values["memory_growth"] = [row_bytes * PAPER_IMAGES * (PAPER_VARIANTS - FEW_VARIANTS) / 1e6]
    bench.facts["memory_of_training"] = {"images": images, "peak_mb": peak / 1e6, "bytes_a_row": row_bytes}


def _arguments(bench: Bench, variants: int) -> Message:
    samples = bench.sample_set("nuclei")
    folder = samples.write_two_folds(len(samples.sample_ids), variants, bench.folder / f"memory_{variants}")
    return {"task": "nuclei", "folder": str(folder), "samples": str(samples.path)}
