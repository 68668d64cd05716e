"""Draw one sample and the channels that the encodings append to it."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.report.figures.inputs import plot_encodings
        from siwcc.report.figures.style import FigureFiles

        plot_encodings(
            fold_path=Path(snakemake.input.fold),
            samples_path=[Path(path) for path in snakemake.input.samples],
            encodings=snakemake.params.encodings,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
