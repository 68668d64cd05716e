"""Sum up errors and confused points of tasks with many points."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation import landmarks

        found = landmarks.measure_landmarks(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            baseline_paths=[Path(path) for path in snakemake.input.baselines],
            strata_paths=[Path(path) for path in snakemake.input.strata],
            comparisons=[tuple(pair) for pair in snakemake.params.comparisons],
            limits={task: ErrorLimits(**values) for task, values in snakemake.params.limits.items()},
            frames=snakemake.params.frames,
        )
        landmarks.write_landmarks(Path(snakemake.output.landmarks), found.overall)
        landmarks.write_landmarks_by_point(Path(snakemake.output.by_point), found.by_point)
        landmarks.write_landmark_tests(Path(snakemake.output.tests), found.tests)
