"""Sum up errors and confused points of tasks with many points."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation.landmarks import measure_landmarks, write_landmarks

        found = measure_landmarks(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            baseline_paths=[Path(path) for path in snakemake.input.baselines],
            strata_paths=[Path(path) for path in snakemake.input.strata],
            comparisons=[tuple(pair) for pair in snakemake.params.comparisons],
            limits={task: ErrorLimits(**values) for task, values in snakemake.params.limits.items()},
            frames=snakemake.params.frames,
        )
        write_landmarks(found, *(Path(snakemake.output[name]) for name in ("landmarks", "by_point", "tests")))
