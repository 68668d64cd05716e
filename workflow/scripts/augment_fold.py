"""Write one augmented fold."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_config
        from siwcc.data.folds import make_fold

        config = parse_config(snakemake.config)
        task = snakemake.wildcards.task
        make_fold(
            samples_path=[Path(path) for path in snakemake.input.samples],
            folds_csv=Path(snakemake.input.folds),
            fold=int(snakemake.wildcards.fold),
            settings=config.task(task),
            dataset=config.dataset_of(task),
            seed=snakemake.params.seed,
            path=Path(snakemake.output.fold),
        )
