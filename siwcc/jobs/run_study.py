"""Run Snakemake with its log in a file and one progress bar on the terminal.

    python -m siwcc.jobs.run_study LOG [Snakemake's arguments]

Snakemake writes to the log file itself, so it continues if this process is killed; `make resume` then refuses to start.
A dry run, or a list of files, is printed as Snakemake prints it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import IO

from siwcc.io.checksums import read_text
from siwcc.io.console import note, progress_bar, shows_bars, verbosity
from siwcc.io.errors import InputError, unwritable
from siwcc.io.files import read_yaml
from siwcc.io.study_layout import StudyLayout, results_of
from siwcc.jobs.guard import NO_RUN

_LOOK_EVERY_S = 0.2
_RULE = re.compile(r"(?:local)?(?:rule|checkpoint) (\w+):")
_TOTAL = re.compile(r"total +(\d+)")
_DONE = re.compile(r"(\d+) of (\d+) steps \(\d+%\) done")
_ERROR = re.compile(r"error: .*")
_FAILED = re.compile(r"Error in (?:rule|checkpoint) (\w+)")
_LOG_OF_FAILED = re.compile(r" +log: (.*) \(check log file\(s\) for error details\)")
_LOCKED = "LockException:"
_NOTHING = "Nothing to be done"
# What Snakemake says of a workflow that cannot start: its reason is in the next line.
_WORKFLOW_ERROR = re.compile(r"[A-Z]\w*(?:Error|Exception)(?: in .*)?:")
_WARNING = re.compile(r"warning: .*")
_SHOWN_LINES = 10
# The overlay of the ablation names one of its four studies, see workflow/leakage_ablation.smk.
_ABLATION_CELL = "-sample-zero_fill"


def main(arguments: Sequence[str]) -> int:
    """Run a study in the working directory.

    Args:
        arguments: The log file, then Snakemake's own arguments.

    Returns:
        Snakemake's exit code; 130 after Ctrl-C.
    """
    log_path, rest = Path(arguments[0]), arguments[1:]
    if any(map(NO_RUN.fullmatch, rest)):
        return _list_jobs(rest)
    try:
        with verbosity("normal"):
            code = run_study(log_path, rest)
            report = report_of(rest)
            if code == 0 and report is not None and report.is_file():
                note(f"report: {report}")
            return code
    except OSError as error:
        print(f"error: {unwritable(log_path, error)}", file=sys.stderr)
        return 1


def run_study(
    log_path: Path, arguments: Sequence[str], folder: Path | None = None, python_path: Path | None = None
) -> int:
    """Run a study, with one progress bar where the command shows bars.

    Args:
        log_path: The file for Snakemake's output.
        arguments: Snakemake's own.
        folder: The working directory; None: the present one.
        python_path: A folder from which Snakemake and its jobs import first.

    Returns:
        Snakemake's exit code; 130 after Ctrl-C, 128 and its number after another signal. Errors are printed, the
        reason last.

    Raises:
        OSError: the log cannot be written.
    """
    command = [sys.executable, "-m", "snakemake", *arguments]
    environment = None if python_path is None else importing_from(python_path)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    # Not emptied: a study that is running here may be writing to it.
    log_path.unlink(missing_ok=True)
    started_at = time.monotonic()
    with log_path.open("wb") as log:
        # A list, without a shell; the arguments are those that the user typed.
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment)  # noqa: S603
        try:
            with _passed_on(signal.SIGTERM, child):
                lines = _show_progress(child, log_path)
        except KeyboardInterrupt:
            # The terminal has sent it to Snakemake, too, which ends its jobs and releases the folder.
            child.wait()
            print("interrupted; the same command resumes the study", file=sys.stderr)
            return 130
    if child.returncode:
        _explain(lines, log_path, folder or Path())
    elif any(line.startswith(_NOTHING) for line in lines):
        note("nothing to do: every file is up to date")
    else:
        note(f"complete after {timedelta(seconds=round(time.monotonic() - started_at))}; log: {log_path}")
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def report_of(arguments: Sequence[str]) -> Path | None:
    """The report of the study that Snakemake is to run; None if its name is not in the arguments.

    Args:
        arguments: Of Snakemake: `--configfile`, `--config study=NAME`, `--snakefile`.
    """
    name, given = "", dict(pairwise(arguments))
    if overlay := given.get("--configfile"):
        with suppress(InputError, AttributeError):
            name = str(read_yaml(Path(overlay)).get("study", ""))
    name = next((word.removeprefix("study=") for word in arguments if word.startswith("study=")), name)
    if Path(given.get("--snakefile", "")).name == "leakage_ablation.smk":
        name = name.removesuffix(_ABLATION_CELL)
    return StudyLayout(results_of(name)).report if name else None


@contextmanager
def _passed_on(number: signal.Signals, child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Send a signal that comes in the meantime to the child, whose end is then waited for."""
    before = signal.signal(number, lambda *_: child.send_signal(number))
    try:
        yield
    finally:
        signal.signal(number, before)


def importing_from(folder: Path) -> dict[str, str]:
    """The environment for a program that is to import from a folder first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def _show_progress(child: subprocess.Popen[bytes], log_path: Path) -> list[str]:
    """Follow the log to its end; its lines."""
    lines, seen = [], set()
    with log_path.open(encoding="utf-8", errors="replace") as log, progress_bar(shows_bars()) as bar:
        task = bar.add_task("planning", total=None) if bar else None
        done, total = "0", "?"
        for line in _follow(log, child):
            lines.append(line)
            if _WARNING.match(line):
                print(line, file=sys.stderr)
            if found := _TOTAL.fullmatch(line):
                total = found[1]
                if bar and task is not None:
                    bar.update(task, total=int(total))
            elif found := _DONE.match(line):
                done, total = found.groups()
                if bar and task is not None:
                    bar.update(task, completed=int(done), total=int(total))
            elif found := _RULE.match(line):
                stage = found[1].replace("_", " ")
                if bar and task is not None:
                    bar.update(task, description=stage)
                elif stage not in seen and stage != "all":
                    note(f"{stage} ({done} of {total} steps done)")
                seen.add(stage)
    return lines


def _follow(log: IO[str], child: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines of a file as they are written, until the process that writes it has ended."""
    begun = ""
    while True:
        ended = child.poll() is not None
        while part := log.readline():
            begun += part
            if begun.endswith("\n"):
                yield begun.rstrip("\n")
                begun = ""
        if ended:
            break
        time.sleep(_LOOK_EVERY_S)
    if begun:
        yield begun


def _list_jobs(arguments: Sequence[str]) -> int:
    """Snakemake's output where it runs no job; of one that fails the errors alone."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    # A list, without a shell; the arguments are those that the user typed.
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode:
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        print("\n".join(_errors(lines, {}, Path())), file=sys.stderr)
    else:
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
    return done.returncode


def _explain(lines: Sequence[str], log_path: Path, folder: Path) -> None:
    """Print the errors of a study that failed, once each, and where the logs are; the error comes last."""
    failed = dict(_failed_jobs(lines))
    print(f"The study is not complete; Snakemake's log: {log_path}", file=sys.stderr)
    for log, rule in list(failed.items())[-_SHOWN_LINES:]:
        print(f"log of {rule}: {folder / log}", file=sys.stderr)
    for line in _errors(lines, failed, folder)[-_SHOWN_LINES:]:
        print(line, file=sys.stderr)


def _errors(lines: Sequence[str], failed: Mapping[str, str], folder: Path) -> list[str]:
    """The errors in Snakemake's output, once each; `failed` holds the rule of each failed job by its log."""
    shown = list(dict.fromkeys(line for line in lines if _ERROR.match(line)))
    if _LOCKED in lines:
        remedy = "wait for it; if it was killed, release the folder with make resume"
        shown = [f"error: {InputError(folder.resolve(), 'another study is running here, or was killed', remedy)}"]
    elif not shown and failed:
        shown = list(dict.fromkeys(_error_of(rule, folder / log) for log, rule in failed.items()))
    elif not shown:
        headings = [number for number, line in enumerate(lines) if _WORKFLOW_ERROR.match(line)]
        reasons = [lines[number + 1].strip() for number in headings if number + 1 < len(lines)]
        shown = [f"error: {reason}" for reason in dict.fromkeys(reasons)] or list(lines[-_SHOWN_LINES:])
    return shown


def _failed_jobs(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Log file and rule, in words, of each job that failed."""
    rule = ""
    for line in lines:
        if found := _FAILED.match(line):
            rule = found[1].replace("_", " ")
        elif rule and (found := _LOG_OF_FAILED.fullmatch(line)):
            yield found[1], rule


def _error_of(rule: str, log: Path) -> str:
    """The error in the log of a job: on a cluster it is not in that of Snakemake."""
    with suppress(InputError):
        found = [line for line in read_text(log).splitlines() if _ERROR.match(line)]
        if found:
            return found[-1]
    return f"error: {rule}: ended without a message; if memory was short, repeat the command with fewer cores"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
