"""Predict every test row without a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.baselines.registry import write_baseline

        write_baseline(
            name=snakemake.wildcards.baseline,
            task=snakemake.wildcards.task,
            fold_paths=[Path(path) for path in snakemake.input.folds],
            samples_path=[Path(path) for path in snakemake.input.samples],
            path=Path(snakemake.output.predictions),
        )
