"""Write the recordings file of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_dataset
        from siwcc.data.recordings import extract_recordings
        from siwcc.io.data_layout import DataLayout

        name = snakemake.wildcards.dataset
        extract_recordings(
            name=name,
            section=parse_dataset(snakemake.config["datasets"][name]),
            raw_root=DataLayout().raw,
            manifest_path=Path(snakemake.input.manifest),
            recordings_path=Path(snakemake.output.recordings),
        )
