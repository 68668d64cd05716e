"""Draw the learning curves of one task."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.figures import plot_learning_curves

        plot_learning_curves(
            log_paths=[Path(path) for path in snakemake.input.logs],
            svg_path=Path(snakemake.output.svg),
            png_path=Path(snakemake.output.png),
            data_path=Path(snakemake.output.data),
        )
