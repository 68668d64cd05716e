"""Draw one sample and the channels that the encodings append to it."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.figures import FigureFiles
        from siwcc.figures.signals import plot_encodings

        plot_encodings(
            fold_path=Path(snakemake.input.fold),
            samples_path=Path(snakemake.input.samples),
            encodings=snakemake.params.encodings,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
