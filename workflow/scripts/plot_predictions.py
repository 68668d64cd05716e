"""Draw the best, median and worst predictions of one arm."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.report.figures.inputs import plot_predictions
        from siwcc.report.figures.style import FigureFiles

        plot_predictions(
            prediction_paths=[Path(path) for path in snakemake.input.predictions],
            fold_paths=[Path(path) for path in snakemake.input.folds],
            samples_path=[Path(path) for path in snakemake.input.samples],
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
