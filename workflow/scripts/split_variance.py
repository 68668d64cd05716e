"""Split the variance of a study's results between folds and seeds."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.variance import split_study, write_variance

        rows = split_study(
            log_paths=[Path(path) for path in snakemake.input.logs],
            comparisons=[tuple(pair) for pair in snakemake.params.comparisons],
        )
        write_variance(Path(snakemake.output.variance), rows)
