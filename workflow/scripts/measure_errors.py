"""Sum up the errors of every arm and baseline."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.accuracy import measure_study, write_errors

        lines = measure_study(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            baseline_paths=[Path(path) for path in snakemake.input.baselines],
            folds_paths=[Path(path) for path in snakemake.input.folds],
            units=snakemake.params.units,
        )
        write_errors(Path(snakemake.output.errors), lines)
