"""Hold the confidence of every arm against how often it is right."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation.reliability_table import measure_reliability, write_reliability, write_scores

        found = measure_reliability(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            strata_paths=[Path(path) for path in snakemake.input.strata],
            limits={task: ErrorLimits(**values) for task, values in snakemake.params.limits.items()},
        )
        write_reliability(Path(snakemake.output.bins), found.bins)
        write_scores(Path(snakemake.output.scores), found.scores)
