"""Sum up the errors on data sets that no network saw."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation.external_table import measure_external, write_external

        lines = measure_external(
            paths=[Path(path) for path in snakemake.input.predictions],
            limits={task: ErrorLimits(**values) for task, values in snakemake.params.limits.items()},
        )
        write_external(Path(snakemake.output.external), lines)
