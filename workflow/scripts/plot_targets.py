"""Draw where the targets of the augmented copies lie."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.report.figures.samples import plot_targets
        from siwcc.report.figures.style import FigureFiles

        plot_targets(
            fold_paths=[Path(path) for path in snakemake.input.folds],
            title=snakemake.params.title,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
