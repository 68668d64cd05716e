"""Draw the learning curves of one network."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.report.figures.curves import plot_learning_curves
        from siwcc.report.figures.style import FigureFiles

        plot_learning_curves(
            log_paths=[Path(path) for path in snakemake.input.logs],
            variant=snakemake.wildcards.variant,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
