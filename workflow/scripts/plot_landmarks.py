"""Draw how often each of many points is taken for another."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.landmarks import LandmarkErrors
        from siwcc.io.tables import read_lines
        from siwcc.report.figures.landmarks import plot_landmarks, select_landmarks
        from siwcc.report.figures.style import FigureFiles

        names = snakemake.wildcards
        lines = read_lines(Path(snakemake.input.landmarks), LandmarkErrors)
        plot_landmarks(
            lines=select_landmarks(lines, names.task, names.variant),
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
