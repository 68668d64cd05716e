"""Sum up the errors of every arm and baseline."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation.errors_table import measure_study, write_errors, write_errors_by_stratum

        errors = measure_study(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            baseline_paths=[Path(path) for path in snakemake.input.baselines],
            strata_paths=[Path(path) for path in snakemake.input.strata],
            limits={task: ErrorLimits(**values) for task, values in snakemake.params.limits.items()},
        )
        write_errors(Path(snakemake.output.errors), errors.overall)
        write_errors_by_stratum(Path(snakemake.output.by_stratum), errors.by_stratum)
