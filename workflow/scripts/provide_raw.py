"""Provide the raw files of a data set and list them in a manifest."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_dataset
        from siwcc.data.datasets.manifest import provide_raw
        from siwcc.io.data_layout import DataLayout

        name = snakemake.wildcards.dataset
        # The whole entry comes from the config and not from a parameter: a local copy that
        # moved is checked against its manifest later, and must not make everything again.
        provide_raw(
            name=name,
            section=parse_dataset(snakemake.config["datasets"][name]),
            raw_root=DataLayout().raw,
            manifest_path=Path(snakemake.output.manifest),
        )
