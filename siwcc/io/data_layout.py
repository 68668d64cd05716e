"""Where the raw files and samples of data sets lie: every path below `data/`.

A module of its own, apart from `siwcc.io.study_layout`: the stages that make the samples import it, and a new figure of
a study must not make them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataLayout:
    """The paths below one folder of data sets.

    A data set is given by its name, or by Snakemake's wildcard: `DataLayout().samples("{dataset}")` is a pattern.

    Attributes:
        folder: `data/`; several studies share it.
    """

    folder: Path = Path("data")

    @property
    def raw(self) -> Path:
        """Folder of all downloads; those of a data set are in the folder of its name."""
        return self.folder / "raw"

    def manifest(self, dataset: str) -> Path:
        """The list of the raw files, with their sizes and SHA-256."""
        return self.raw / f"{dataset}.manifest.csv"

    def samples(self, dataset: str) -> Path:
        """The samples file."""
        return self.folder / "samples" / f"{dataset}.h5"

    def excluded(self, dataset: str) -> Path:
        """The samples that cannot be used, and why."""
        return self.folder / "samples" / f"{dataset}.excluded.csv"

    def protocol(self, dataset: str) -> Path:
        """The preprocessing settings that the samples were made with."""
        return self.folder / "samples" / f"{dataset}.protocol.json"

    def recordings(self, dataset: str) -> Path:
        """The whole recordings with their rhythms, of a data set in which onsets are looked for."""
        return self.folder / "recordings" / f"{dataset}.h5"

    def files(self, dataset: str) -> list[Path]:
        """All files that the workflow makes of a data set; the raw files themselves are not among them."""
        return [self.manifest(dataset), self.samples(dataset), self.excluded(dataset), self.protocol(dataset)]

    def benchmark(self, dataset: str, stage: str) -> Path:
        """Time and memory of a job of a stage, `raw`, `samples` or `recordings`."""
        return self.folder / "benchmarks" / f"{dataset}.{stage}.tsv"

    def found_benchmarks(self, dataset: str) -> list[Path]:
        """The benchmark files of a data set that exist, sorted."""
        return sorted((self.folder / "benchmarks").glob(f"{dataset}.*.tsv"))

    def stage_of_benchmark(self, path: Path) -> str:
        """The stage whose job a benchmark file is of, `raw`, `samples` or `recordings`."""
        return path.stem.rsplit(".", 1)[-1]

    def files_of_stages(self, datasets: Iterable[str]) -> Iterator[tuple[str, list[Path]]]:
        """Each stage with the files and folders that it has written of these data sets."""
        for stage, pattern in (("raw", "raw/{}/**/*"), ("samples", "samples/{}.*"), ("recordings", "recordings/{}.*")):
            yield stage, [path for name in datasets for path in self.folder.glob(pattern.format(name))]
