"""Write the samples file of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_dataset
        from siwcc.data.samples import extract_samples
        from siwcc.io.data_layout import DataLayout

        name = snakemake.wildcards.dataset
        # The whole entry comes from the config and not from a parameter: a local copy that
        # moved, with the same manifest, must not make the samples again.
        extract_samples(
            name=name,
            section=parse_dataset(snakemake.config["datasets"][name]),
            raw_root=DataLayout().raw,
            manifest_path=Path(snakemake.input.manifest),
            samples_path=Path(snakemake.output.samples),
            excluded_path=Path(snakemake.output.excluded),
            protocol_path=Path(snakemake.output.protocol),
        )
