"""Write the study's checked config, for whoever reads its folder later."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_config, write_config

        write_config(Path(snakemake.output.config), parse_config(snakemake.config))
