"""Write the comparison rows of a study."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.comparisons import write_comparisons

        write_comparisons(
            log_paths=[Path(path) for path in snakemake.input.logs],
            folds_paths=[Path(path) for path in snakemake.input.folds],
            comparisons=[tuple(pair) for pair in snakemake.params.comparisons],
            published_path=Path(snakemake.input.published),
            other_data=snakemake.params.other_data,
            other_protocol=snakemake.params.other_protocol,
            csv_path=Path(snakemake.output.comparisons),
            table_path=Path(snakemake.output.table),
        )
