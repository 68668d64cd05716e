"""`make soak`: a study is killed again and again, at random moments of every stage, until it is done.

Killed (SIGKILL) is Snakemake alone, its whole process group, or one job alone; the study goes on at once, with what
`make resume` runs. In the end its files must be those of an undisturbed twin, to the byte; no job may have repeated
more than the one epoch that was cut off; no two processes may have written one file at one time; nothing may be left
over. When a study is done before all kills have found their moment, the next one is begun. Linux only.

What stands after `--` is given to Snakemake, e.g. -- --config 'datasets={vfdb: {path: /where/it/is/vfdb}}'.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from places import REPOSITORY, Place  # noqa: E402
from soak_journal import Job, Journal, epochs_by_run, spans, two_writers  # noqa: E402

# In the order in which a few kills are dealt out. "start" is Snakemake before its first job.
STAGES = ("train", "samples", "folds", "baselines", "stats", "report", "raw", "start")
NO_JOB = "no job: start, between"
VICTIMS = ("snakemake", "group", "job")
FIRST_RULE = "record_config"
LOOK_EVERY_S = 0.01
# Beyond a job's usual length: a job that has ended before is struck then, before Snakemake has recorded its end.
LATEST = 1.15
# A job looks for its owner every half second, and before it does anything else once Python has started, which
# on a busy machine is a while: it may live on, but not write or train.
MAY_ACT_S = 5.0
MAY_OUTLIVE_S = 60.0
# What a job says that starts after its owner was killed.
ORPHAN = re.compile(r"^error: process \d+, which started this job, has ended$")
BENCHMARKS = {
    r"^data/benchmarks/.*\.raw\.tsv": "raw",
    r"^data/benchmarks/.*\.samples\.tsv": "samples",
    r"/benchmarks/[^/]+/fold[^/]*\.tsv": "folds",
    r"/benchmarks/[^/]+/baselines/": "baselines",
    r"/benchmarks/stats/": "stats",
    r"/benchmarks/figures/": "report",
    r"/seed\d+\.tsv": "train",
}


@dataclass(frozen=True)
class Spied(Place):
    """A place whose jobs keep a journal."""

    journal: Path = Path()

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.repository), str(HERE / "spy")])
        return super().environment() | {"PYTHONPATH": path, "SIWCC_SOAK_JOURNAL": str(self.journal)}


@dataclass(frozen=True)
class Study:
    """What is run: the overlay's name, further arguments of Snakemake, and how many cores it gets."""

    name: str
    arguments: tuple[str, ...]
    cores: int

    def restart(self, place: Place) -> list[list[str]]:
        """The commands of `make resume`."""
        overlay = ("--configfile", str(place.repository / f"resources/studies/{self.name}.yaml"))
        unlock = [sys.executable, str(place.repository / "workflow" / "unlock.py"), *overlay, *self.arguments]
        return [unlock, place.command("--cores", str(self.cores), *self.arguments, study=self.name)]


class Due(NamedTuple):
    """A kill that is to come: for which stage's account, of which job (none: before the first), and when."""

    stage: str
    job: Job | None
    at_s: float


@dataclass(frozen=True)
class Kill:
    """A kill that was; `stage` is what was really running, `orphans` all jobs that lost their owner."""

    stage: str
    victim: str
    at_ns: int
    orphans: tuple[Job, ...]


@dataclass
class Tally:
    """What has happened so far, over all rounds."""

    kills: list[Kill] = field(default_factory=list)
    attempts: int = 0
    rounds: int = 0
    files: int = 0
    spans: int = 0
    epochs_begun: int = 0
    epochs_repeated: int = 0
    worst_repeated: int = 0
    outlived_s: float = 0.0
    acted_s: float = 0.0
    findings: list[str] = field(default_factory=list)


def stages_of_scripts(repository: Path) -> dict[str, str]:
    """The stage of every script: the file of `rules/` that names it."""
    return {
        script: path.stem
        for path in (repository / "rules").glob("*.smk")
        for script in re.findall(r"workflow/scripts/(\w+)\.py", path.read_text())
    }


def deal(kills: int) -> Counter[str]:
    """How many kills each stage gets."""
    return Counter(STAGES[number % len(STAGES)] for number in range(kills))


def name_of_results(study: Study, repository: Path) -> str:
    """The folder below `results/` of a study: its overlay's, else the config's own `study`."""
    overlay = yaml.safe_load((repository / f"resources/studies/{study.name}.yaml").read_text())
    config = yaml.safe_load((repository / "config.yaml").read_text())
    return str((config | overlay)["study"])


def seconds_of_stages(folder: Path, results: str) -> dict[str, list[float]]:
    """How long each job of a finished study took, by stage, from its benchmark files."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in [*folder.glob("data/benchmarks/*.tsv"), *folder.glob(f"results/{results}/benchmarks/**/*.tsv")]:
        name = path.relative_to(folder).as_posix()
        for pattern, stage in BENCHMARKS.items():
            if re.search(pattern, name):
                with path.open(newline="") as handle:
                    found[stage] += [float(row["s"]) for row in csv.DictReader(handle, delimiter="\t")]
                break
    return found


def run_undisturbed(study: Study, place: Place) -> None:
    """Make a twin."""
    for command in study.restart(place):
        done = subprocess.run(command, cwd=place.folder, env=place.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"the undisturbed study failed:\n{done.stdout}{done.stderr}")


class Round:
    """One study that is killed until it is done."""

    def __init__(self, study: Study, place: Spied, seconds: dict[str, list[float]], tally: Tally) -> None:
        self._study = study
        self._place = place
        self._seconds = seconds
        self._tally = tally
        self._stages = stages_of_scripts(place.repository)
        self._passed: Counter[str] = Counter()
        self._startup_s = 3.0
        self.journal = Journal(place.journal)

    def run(self, left: Counter[str], chance: random.Random) -> None:
        """Kill and go on until the study is done; `left` says how many kills each stage is still to get."""
        for number in range(2 * sum(left.values()) + 3):
            self._tally.attempts += 1
            if self._attempt(left, chance, self._place.folder.with_name(f"{self._place.folder.name}.{number}.log")):
                return
            if self._tally.findings:
                return
        self._tally.findings.append("the study does not get done")

    def _attempt(self, left: Counter[str], chance: random.Random, log: Path) -> bool:
        """Whether the documented command came to its end, and well."""
        struck = len(self._tally.kills)
        began = time.monotonic()
        early = left["start"] > 0 and chance.random() < 0.5
        due = Due("start", None, began + chance.random() * self._startup_s) if early else None
        with log.open("w") as output:
            for command in self._study.restart(self._place):
                process = subprocess.Popen(
                    command,
                    cwd=self._place.folder,
                    env=self._place.environment(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                due = self._watch(process, due, left, chance, began)
                if process.wait() != 0:
                    break
        return self._judge(process.returncode, len(self._tally.kills) > struck, log)

    def _watch(
        self,
        process: subprocess.Popen[bytes],
        due: Due | None,
        left: Counter[str],
        chance: random.Random,
        began: float,
    ) -> Due | None:
        """Look on until the process ends, and strike when it is time."""
        while process.poll() is None:
            for job in self.journal.poll():
                if job.rule == FIRST_RULE:
                    self._startup_s = job.started_ns / 1e9 - began
                if due is None:
                    due = self._choose(job, left, chance)
            if due is not None and (time.monotonic() >= due.at_s or (due.job is not None and not due.job.alive)):
                self._strike(process, due.job, chance)
                left[due.stage] -= 1
                due = None
            time.sleep(LOOK_EVERY_S)
        return due

    def _choose(self, job: Job, left: Counter[str], chance: random.Random) -> Due | None:
        """Whether this job is to be killed, and when: every job of a stage is as likely as the others."""
        stage = self._stages[job.rule]
        seconds = self._seconds.get(stage, [1.0])
        share = left[stage] / max(1, len(seconds) - self._passed[stage])
        if chance.random() >= share:
            self._passed[stage] += 1
            return None
        return Due(stage, job, job.started_ns / 1e9 + chance.random() * LATEST * statistics.median(seconds))

    def _strike(self, process: subprocess.Popen[bytes], job: Job | None, chance: random.Random) -> None:
        """Kill, and note what was running."""
        self.journal.poll()
        alive = self.journal.alive()
        if job is not None and not job.alive:
            job = chance.choice(alive) if alive else None
        running = job or (alive[0] if alive else None)
        stage = self._stages[running.rule] if running else "start"
        victim = chance.choice(VICTIMS if job is not None else VICTIMS[:2])
        at_ns = time.monotonic_ns()
        if victim == "job":
            assert job is not None
            assert job.process is not None
            job.process.kill()
        elif victim == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        self._tally.kills.append(Kill(stage, victim, at_ns, tuple(alive) if victim != "job" else ()))
        rule = running.rule if running else "no job"
        print(f"kill {len(self._tally.kills)}: {victim} during {rule}", file=sys.stderr, flush=True)

    def _judge(self, status: int, struck: bool, log: Path) -> bool:
        text = log.read_text()
        lines = [line for line in text.splitlines() if line.startswith("error: ") and not ORPHAN.match(line)]
        if lines:
            self._tally.findings += [f"{log.name}: {line}" for line in lines]
        elif status != 0 and not struck:
            self._tally.findings.append(f"{log.name}: the documented command failed ({status}):\n{text[-4000:]}")
        return status == 0


def wait_for_end(journal: Journal) -> None:
    """Until no job lives."""
    give_up_at = time.monotonic() + 2 * MAY_OUTLIVE_S
    journal.poll()
    while journal.alive() and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY_S)
        journal.poll()


def compare(place: Place, twin: Place) -> tuple[int, list[str]]:
    """How many files of a study were compared with its twin's, and what is wrong with them."""
    ours, theirs = {}, {}
    for below in ("results", "data"):
        ours |= place.digests(below)
        theirs |= twin.digests(below)
    studies = {name.split("/")[1] for name in ours if name.startswith("results/")}
    # The twin's folder may hold other studies, and data of theirs.
    expected = {name for name in theirs if name in ours or name.split("/")[1] in studies}
    wrong = [f"{name}: missing" for name in sorted(expected - set(ours))]
    wrong += [f"{name}: not in the twin" for name in sorted(set(ours) - set(theirs))]
    wrong += [f"{name}: other bytes" for name in sorted(expected & set(ours)) if ours[name] != theirs[name]]
    return len(ours), wrong


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders, and parts of files, that a finished study should not have."""
    paths = [path for below in ("results", "data", "logs") for path in (folder / below).rglob("*")]
    # Locks without content: who holds them is in the kernel.
    kept = (".claims",)
    return [
        f"{path.relative_to(folder)}: left over"
        for path in paths
        if (path.name.startswith(".") or path.suffix == ".part") and path.name not in kept
    ]


def account(tally: Tally, journal: Journal, kills: Sequence[Kill]) -> None:
    """Add what the journal of a round says."""
    tally.spans += len(spans(journal.jobs))
    for first, second in two_writers(journal.jobs):
        jobs = [journal.jobs[span.job] for span in (first, second)]
        names = " and ".join(f"{job.rule} ({job.pid})" for job in jobs)
        tally.findings.append(f"{first.target}: two writers, {names}")
    for run, epochs in epochs_by_run(journal.jobs).items():
        tally.epochs_begun += epochs.begun
        tally.epochs_repeated += epochs.begun - epochs.distinct
        tally.worst_repeated = max(tally.worst_repeated, epochs.worst_repeated)
        if epochs.worst_repeated > 1:
            tally.findings.append(f"{run}: one job repeated {epochs.worst_repeated} epochs")
    for kill in kills:
        for job in kill.orphans:
            outlived_s = (job.seen_ns - kill.at_ns) / 1e9
            tally.outlived_s = max(tally.outlived_s, outlived_s)
            acted_s = (max([event.at_ns for event in job.events], default=0) - kill.at_ns) / 1e9
            tally.acted_s = max(tally.acted_s, acted_s)
            if acted_s > MAY_ACT_S or outlived_s > MAY_OUTLIVE_S:
                what = f"lived {outlived_s:.1f} s after its owner, and wrote {acted_s:.1f} s after it"
                tally.findings.append(f"{job.rule} ({job.pid}) {what}")


def soak(study: Study, left: Counter[str], seed: int, repository: Path, folder: Path, twin: Place) -> Tally:
    """Kill studies in `folder` until every stage has had as many kills as `left` says; compare each with the twin."""
    chance = random.Random(seed)
    left = Counter(left)
    seconds = seconds_of_stages(twin.folder, name_of_results(study, repository))
    tally = Tally()
    while sum(left.values()) > 0 and not tally.findings:
        tally.rounds += 1
        place = Spied(repository, folder / f"round{tally.rounds}", folder / f"round{tally.rounds}.journal")
        place.folder.mkdir(parents=True)
        before = len(tally.kills)
        one = Round(study, place, seconds, tally)
        one.run(left, chance)
        wait_for_end(one.journal)
        account(tally, one.journal, tally.kills[before:])
        if not tally.findings:
            count, wrong = compare(place, twin)
            tally.files += count
            tally.findings += wrong + leftovers(place.folder)
        if len(tally.kills) == before:
            tally.findings.append(f"no kill found its moment; left: {dict(+left)}")
    return tally


def figures(tally: Tally) -> list[list[str]]:
    """The table: kills by stage and victim, then one figure a line."""
    counts = Counter((kill.stage, kill.victim) for kill in tally.kills)
    rows = [["killed during", *VICTIMS, "all"]]
    for stage in ("start", "raw", "samples", "folds", "train", "baselines", "stats", "report"):
        numbers = [counts[stage, victim] for victim in VICTIMS]
        rows.append([NO_JOB if stage == "start" else stage, *map(str, numbers), str(sum(numbers))])
    numbers = [sum(counts[stage, victim] for stage in STAGES) for victim in VICTIMS]
    rows.append(["all", *map(str, numbers), str(sum(numbers))])
    more = {
        "studies finished": tally.rounds,
        "starts and restarts": tally.attempts,
        "files compared with the twin": tally.files,
        "writings watched": tally.spans,
        "epochs begun": tally.epochs_begun,
        "epochs repeated": tally.epochs_repeated,
        "epochs repeated by one job at worst": tally.worst_repeated,
        "longest life of a job after its owner, s": f"{tally.outlived_s:.1f}",
        "latest write of a job after its owner's end, s": f"{tally.acted_s:.1f}",
        "findings": len(tally.findings),
    }
    return rows + [[name, "", "", "", str(value)] for name, value in more.items()]


def as_text(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows) + "\n"


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def write_figures(rows: Sequence[Sequence[str]], out: Path) -> None:
    """`<out>.csv` and `<out>.md`."""
    with out.with_suffix(".csv").open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)
    out.with_suffix(".md").write_text(as_markdown(rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--study", default="tiny", help="resources/studies/<study>.yaml")
    parser.add_argument("--cores", type=int, default=2, help="of the study that is killed")
    parser.add_argument("--twin-cores", type=int, default=1, help="of the undisturbed one, if it is made here")
    parser.add_argument("--twin", type=Path, help="a folder in which the same study is finished, all of it and no more")
    parser.add_argument("--folder", type=Path, help="work in this new folder and leave it there")
    parser.add_argument("--out", type=Path, help="write the figures to <out>.csv and <out>.md")
    parser.add_argument("arguments", nargs="*", help="for Snakemake")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    work = (arguments.folder or Path(tempfile.mkdtemp(prefix="siwcc-soak-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    further = tuple(arguments.arguments)
    twin = Place(REPOSITORY, (arguments.twin or work / "twin").resolve())
    if arguments.twin is None:
        twin.folder.mkdir()
        run_undisturbed(Study(arguments.study, further, arguments.twin_cores), twin)
    study = Study(arguments.study, further, arguments.cores)
    tally = soak(study, deal(arguments.kills), arguments.seed, REPOSITORY, work, twin)
    rows = figures(tally)
    print(as_text(rows), end="")
    if arguments.out:
        write_figures(rows, arguments.out)
    for finding in tally.findings:
        print(f"finding: {finding}", file=sys.stderr)
    if tally.findings:
        print(f"what is left to look at: {work}", file=sys.stderr)
    elif arguments.folder is None:
        shutil.rmtree(work)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
