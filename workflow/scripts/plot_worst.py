"""Draw the worst predictions of one arm with the maps that they come from."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.report.figures.style import FigureFiles
        from siwcc.report.figures.worst import WorstInputs, plot_worst

        plot_worst(
            inputs=WorstInputs(
                prediction_paths=[Path(path) for path in snakemake.input.predictions],
                fold_paths=[Path(path) for path in snakemake.input.folds],
                samples_path=[Path(path) for path in snakemake.input.samples],
                strata_path=Path(snakemake.input.strata),
            ),
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
