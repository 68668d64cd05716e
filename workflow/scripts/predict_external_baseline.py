"""Predict a data set that no network saw without a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_config
        from siwcc.data.external import open_external
        from siwcc.evaluation.baselines.registry import write_external_baseline

        inputs = open_external(
            config=parse_config(snakemake.config),
            task=snakemake.wildcards.task,
            samples_path=Path(snakemake.input.samples),
            training_path=[Path(path) for path in snakemake.input.training],
        )
        write_external_baseline(snakemake.wildcards.baseline, inputs, Path(snakemake.output.predictions))
