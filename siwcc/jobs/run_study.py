"""Run Snakemake with its log in a file and one progress bar on the terminal.

    python -m siwcc.jobs.run_study LOG [Snakemake's arguments]

Snakemake writes to the log file itself, so it goes on if this process is killed. `make resume` then says that the study
still runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from siwcc.io.console import note, progress_bar, shows_bars, verbosity
from siwcc.io.errors import unwritable

_LOOK_EVERY_S = 0.2
_RULE = re.compile(r"(?:local)?(?:rule|checkpoint) (\w+):")
_DONE = re.compile(r"(\d+) of (\d+) steps \(\d+%\) done")
_ERROR = re.compile(r"error: .*")
# What Snakemake says of a workflow that cannot start: its reason is in the next line.
_WORKFLOW_ERROR = re.compile(r"[A-Z]\w*(?:Error|Exception)(?: in .*)?:")
_WARNING = re.compile(r"warning: .*")
_SHOWN_LINES = 10


def main(arguments: Sequence[str]) -> int:
    """Run a study in the working directory.

    Args:
        arguments: The log file, then Snakemake's own arguments.

    Returns:
        Snakemake's exit code; 130 after Ctrl-C.
    """
    log_path = Path(arguments[0])
    try:
        with verbosity("normal"):
            return run_study(log_path, arguments[1:])
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
        Snakemake's exit code; 130 after Ctrl-C. Errors are printed, the reason last.

    Raises:
        OSError: the log cannot be written.
    """
    command = [sys.executable, "-m", "snakemake", *arguments]
    environment = None if python_path is None else importing_from(python_path)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        # A list, without a shell; the arguments are those that the user typed.
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment)  # noqa: S603
        try:
            lines = _show_progress(child, log_path)
        except KeyboardInterrupt:
            # The terminal has sent it to Snakemake, too, which ends its jobs and releases the folder.
            child.wait()
            print("interrupted; the same command resumes the study", file=sys.stderr)
            return 130
    if child.returncode:
        _explain(lines, log_path)
    return child.returncode


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
            if found := _DONE.match(line):
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


def _explain(lines: Sequence[str], log_path: Path) -> None:
    """Print the errors of a study that failed, once each, and where the whole log is; the error comes last."""
    shown = list(dict.fromkeys(line for line in lines if _ERROR.match(line)))
    if not shown:
        headings = [number for number, line in enumerate(lines) if _WORKFLOW_ERROR.match(line)]
        reasons = [lines[number + 1].strip() for number in headings if number + 1 < len(lines)]
        shown = [f"error: {reason}" for reason in dict.fromkeys(reasons)] or list(lines[-_SHOWN_LINES:])
    print(f"The study is not complete; Snakemake's log: {log_path}", file=sys.stderr)
    for line in shown[-_SHOWN_LINES:]:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
