"""Compare what every method found in whole recordings with the annotated onsets."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_config
        from siwcc.evaluation.study_files import StudyFiles
        from siwcc.inference.onset_results import write_measures
        from siwcc.io.data_layout import DataLayout
        from siwcc.io.study_layout import StudyLayout

        study = Path(snakemake.output.settings).parent.parent
        write_measures(StudyFiles(StudyLayout(study), parse_config(snakemake.config)), DataLayout())
