"""Look for onsets in perturbed recordings with the trained networks."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_config
        from siwcc.evaluation.study_files import StudyFiles
        from siwcc.inference.onset_robustness import write_onset_robustness
        from siwcc.io.data_layout import DataLayout
        from siwcc.io.study_layout import StudyLayout

        path = Path(snakemake.output.robustness)
        files = StudyFiles(StudyLayout(path.parents[2]), parse_config(snakemake.config))
        write_onset_robustness(files, DataLayout(), snakemake.wildcards.dataset, path)
