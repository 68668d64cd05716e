"""Put every sample into a fold."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_config
        from siwcc.data.folds import write_folds

        config = parse_config(snakemake.config)
        write_folds(
            samples_path=[Path(path) for path in snakemake.input.samples],
            dataset=config.dataset_of(snakemake.wildcards.task),
            folds=snakemake.params.folds,
            by=snakemake.params.by,
            seed=snakemake.params.seed,
            rule=snakemake.params.rule,
            folds_path=Path(snakemake.output.folds),
            strata_path=Path(snakemake.output.strata),
        )
