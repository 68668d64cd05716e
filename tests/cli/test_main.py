"""The `siwcc` command: what it prints, and its exit codes."""

from __future__ import annotations

import csv
import functools
import io
import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import HANGS_S

import siwcc
from siwcc.cli import main as cli
from siwcc.cli.main import main
from siwcc.io import locks

PARSERS = next(iter(cli._parser()._subparsers._group_actions)).choices  # type: ignore[union-attr]
COMMANDS = tuple(PARSERS)


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "siwcc.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANGS_S, **options)  # type: ignore[call-overload]


def test_help_names_every_command_with_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n    {command}" in done.stdout
    assert "examples:" in done.stdout
    codes = re.findall(r"^ +(\d+)  (\w+ ?\w*)", done.stdout, re.MULTILINE)
    assert codes == [("0", "done"), ("1", "bad input"), ("2", "wrong command"), ("130", "interrupted")]
    assert done.stderr == ""


def examples(help_text: str) -> list[list[str]]:
    """Arguments of the lines below `example:`, without what the shell does with their output."""
    shown = re.split(r"^example.*:\n", help_text, maxsplit=1, flags=re.MULTILINE)[1]
    lines = re.findall(r"^  siwcc (.*)", shown, re.MULTILINE)
    return [shlex.split(re.split(r" [>|] ", line)[0], comments=True) for line in lines]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_by_examples_that_it_takes(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: siwcc {command}" in text
    assert PARSERS[command].description.split()[:3] == text.split("\n\n")[1].split()[:3]
    shown = examples(text)
    assert shown
    for arguments in shown:
        assert arguments[0] == command
        assert callable(cli._parser().parse_args(arguments).run)


def test_the_examples_of_the_whole_are_taken() -> None:
    shown = examples(cli._parser().format_help())
    assert len(shown) >= 6
    for arguments in shown:
        assert callable(cli._parser().parse_args(arguments).run)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"siwcc {siwcc.__version__}\n"


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).parent / "siwcc"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"siwcc {siwcc.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["demo-data"],
        ["demo-data", "--folder", "x", "--task", "eeg"],
        ["show", "x", "--quiet", "--verbose"],
        ["completion", "fish"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: siwcc" in capsys.readouterr().err


def test_public_names_are_found_and_others_are_not() -> None:
    from siwcc.io.errors import InputError
    from siwcc.nn.coordinate_channels import CoordinateChannels

    assert siwcc.CoordinateChannels is CoordinateChannels
    assert siwcc.InputError is InputError
    with pytest.raises(AttributeError, match="nonsense"):
        _ = siwcc.nonsense


# ----------------------------------------------------------------- demo data


def test_demo_records_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name, hash_seed in (("one", "1"), ("two", "2")):
        done = run(
            "demo-data", "--folder", tmp_path / name, "--samples", 2, env=os.environ | {"PYTHONHASHSEED": hash_seed}
        )
        assert (done.returncode, done.stdout) == (0, f"{tmp_path / name}\n")
    run("demo-data", "--folder", tmp_path / "other", "--samples", 2, "--seed", 43)
    one, two, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two", "other")
    )
    assert one == two
    assert set(one) == {f"demo0{number}.{kind}" for number in (1, 2) for kind in ("hea", "dat", "atr")}
    assert set(other) == set(one)
    assert other["demo01.dat"] != one["demo01.dat"]


@pytest.mark.parametrize("arguments", [["--samples", "0"], ["--seed", "-1"]])
def test_impossible_demo_data_is_one_line(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo-data", "--folder", str(tmp_path / "x"), *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"siwcc: --samples, --seed: .*\n", captured.err)
    assert not (tmp_path / "x").exists()


def test_demo_data_below_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["demo-data", "--folder", str(tmp_path / "file" / "x"), "--samples", "1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"siwcc: {tmp_path / 'file'}")
    assert error.count("\n") == 1


# ------------------------------------------------------------------- compare


def write_log(path: Path, test_r2: list[float], train_r2: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{epoch},{train_r2},{value}" for epoch, value in enumerate(test_r2, start=1)]
    path.write_text("\n".join(["epoch,train_r2,test_r2", *lines]) + "\n")
    return path


@pytest.fixture
def arms(tmp_path: Path) -> dict[str, list[Path]]:
    """Six epochs of three folds; the study's last test R2 is higher by 0.1, 0.2 and 0.3."""
    curve = [0.1, 0.3, 0.35, 0.4, 0.42, 0.5]
    return {
        arm: [
            write_log(tmp_path / arm / f"fold{fold}" / "log.csv", [*curve[:5], 0.5 + gain * fold / 10], 0.6 + gain / 10)
            for fold in (1, 2, 3)
        ]
        for arm, gain in (("control", 0), ("study", 1))
    }


def test_compare_prints_the_rows_of_two_sets_of_logs(
    arms: dict[str, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = ["--control", *map(str, arms["control"]), "--study", *map(str, arms["study"])]
    assert main(["compare", *logs, "--format", "csv", "--out", str(tmp_path / "rows.csv")]) == 0
    captured = capsys.readouterr()
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(captured.out))}
    assert float(rows["test_r2"]["mean_difference"]) == pytest.approx(0.2)
    assert float(rows["train_r2"]["mean_difference"]) == pytest.approx(0.1)
    # The mean of three draws from 0.1, 0.2, 0.3: its 27 values are all above zero.
    assert float(rows["test_r2"]["p_bootstrap"]) == 0
    assert captured.err.splitlines()[0] == f"pair 1: control {arms['control'][0]}, study {arms['study'][0]}"
    assert main(["compare", *logs, "--format", "json"]) == 0
    assert {row["metric"] for row in json.loads(capsys.readouterr().out)} >= {"instability", "test_r2", "train_r2"}
    assert main(["compare", *logs]) == 0
    assert "0.2" in capsys.readouterr().out


def test_compare_without_a_log_is_one_line(arms: dict[str, list[Path]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--control", "absent.csv", "--study", str(arms["study"][0])]) == 1
    error = capsys.readouterr().err
    assert error.startswith("siwcc: absent.csv: ")
    assert error.count("\n") == 1


def test_a_reader_that_stops_early_is_no_error(arms: dict[str, list[Path]]) -> None:
    logs = ["--control", *map(str, arms["control"]), "--study", *map(str, arms["study"])]
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "siwcc.cli.main", "compare", *logs]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# ---------------------------------------------------------------------- show


def test_show_prints_the_table_and_names_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    for name, text in (("table3.txt", "the table\n"), ("comparisons.csv", "")):
        (tmp_path / "stats").mkdir(exist_ok=True)
        (tmp_path / "stats" / name).write_text(text)
    (tmp_path / "summary.txt").write_text("the result\n")
    comparisons = str(tmp_path / "stats" / "comparisons.csv")
    for options, expected in (([], ["the result"]), (["--table"], ["the result", "", "the table"])):
        assert main(["show", str(tmp_path), *options]) == 0
        assert capsys.readouterr().out.splitlines() == [*expected, comparisons]


def test_show_before_the_study_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path)]) == 1
    assert re.fullmatch(rf"siwcc: {re.escape(str(tmp_path / 'summary.txt'))}: .*\n", capsys.readouterr().err)


def test_show_of_a_table_that_is_no_text_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "summary.txt"
    table.write_bytes(b"\xff\xfe")
    assert main(["show", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert re.fullmatch(rf"siwcc: {re.escape(str(table))}: .*UTF-8.*\n", shown.err)
    assert shown.out == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_output_that_finds_no_room_is_one_line(arms: dict[str, list[Path]]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "siwcc.cli.main", "compare", "--control", *arms["control"], "--study"]
        done = subprocess.run([*command, *arms["study"]], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[len(arms["control"]) :] == ["siwcc: standard output: No space left on device"]


def test_synthetic_files_of_two_seeds_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "_LOCK_WAIT_S", 0.1)
    with locks.locked_folder(tmp_path / "made"):
        assert main(["demo-data", "--folder", str(tmp_path / "made"), "--samples", "1"]) == 1
    assert re.fullmatch(rf"siwcc: {re.escape(str(tmp_path / 'made'))}: .*\n", capsys.readouterr().err)
    assert list((tmp_path / "made").iterdir()) == []


# ------------------------------------------------------- quiet, verbose, bars


@pytest.mark.parametrize("where", ["before", "after"])
def test_quiet_leaves_the_data_and_drops_the_notes(
    where: str, arms: dict[str, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    logs = ["--control", *map(str, arms["control"]), "--study", *map(str, arms["study"])]
    assert main(["compare", *logs]) == 0
    verbosity = capsys.readouterr()
    assert main(["--quiet", "compare", *logs] if where == "before" else ["compare", *logs, "-q"]) == 0
    quiet = capsys.readouterr()
    assert quiet.out == verbosity.out
    assert len(verbosity.err.splitlines()) == 3
    assert quiet.err == ""


def test_quiet_does_not_hide_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quiet", "show", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"), [(["-v"], ["once", "careful"]), ([], ["careful"]), (["-q"], ["careful"])]
)
def test_verbose_shows_the_log(
    arguments: list[str],
    said: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def show(options: object) -> int:
        logging.getLogger("siwcc.io.files").info("once")
        logging.getLogger("siwcc.io.files").warning("careful")
        return 0

    monkeypatch.setattr(cli, "_run_show", show)
    before = logging.getLogger("siwcc").handlers[:]
    assert main([*arguments, "show", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()) == ("", said)
    # A handler that stays would write to a stream that is closed by then.
    assert logging.getLogger("siwcc").handlers == before


def on_a_terminal(*arguments: object, term: str = "xterm") -> tuple[str, str]:
    """Standard output of a command, and what it writes to the terminal that its standard error is."""
    reader, writer = os.openpty()
    command = [sys.executable, "-m", "siwcc.cli.main", *map(str, arguments)]
    environment = os.environ | {"TERM": term, "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writer, text=True, env=environment)
    os.close(writer)
    shown = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(reader)
    out, _ = process.communicate(timeout=HANGS_S)
    assert process.returncode == 0
    return out, shown.decode()


ERASED_LINE = "\x1b[2K"


def test_a_terminal_shows_a_bar_that_is_gone_at_the_end(tmp_path: Path) -> None:
    out, shown = on_a_terminal("demo-data", "--task", "nuclei", "--samples", 3, "--folder", tmp_path / "x")
    assert out == f"{tmp_path / 'x'}\n"
    assert "cells" in shown
    assert "3/3" in shown
    # The last thing done to the bar's line is to erase it.
    assert shown.rindex(ERASED_LINE) > shown.rindex("3/3")


@pytest.mark.parametrize(("arguments", "term"), [(["--quiet"], "xterm"), (["--verbose"], "xterm"), ([], "dumb")])
def test_a_terminal_shows_no_bar_where_it_is_not_wanted(tmp_path: Path, arguments: list[str], term: str) -> None:
    made = ["demo-data", "--task", "nuclei", "--samples", 1, "--folder", tmp_path / "x"]
    assert on_a_terminal(*arguments, *made, term=term) == (f"{tmp_path / 'x'}\n", "")


def test_no_bar_where_there_is_no_terminal(tmp_path: Path) -> None:
    done = run("demo-data", "--task", "nuclei", "--samples", 1, "--folder", tmp_path / "x")
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'x'}\n", "")


def test_an_interrupted_command_says_so_and_leaves_whole_files(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    command = [
        sys.executable,
        "-m",
        "siwcc.cli.main",
        "demo-data",
        "--task",
        "nuclei",
        "--samples",
        "100000",
        "--folder",
    ]
    # A shell that starts the tests in the background has them ignore it, and what they start, too.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen([*command, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, inherited)
    try:
        give_up_at = time.monotonic() + HANGS_S
        while not list(folder.glob("*/*/*.dat")):
            assert process.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=HANGS_S)
    finally:
        # It would write 100,000 cells.
        process.kill()
    assert (process.returncode, out, error) == (130, "", "siwcc: interrupted\n")
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {".bmp", ".dat"}


# ---------------------------------------------------------------- completion


@functools.cache
def bash_completion() -> str:
    return run("completion", "bash").stdout


def completed(words: list[str], folder: Path) -> set[str]:
    """What bash offers for the last word."""
    script = rf"""{bash_completion()}
COMP_WORDS=({shlex.join(words)})
COMP_CWORD={len(words) - 1}
$(complete -p siwcc | sed 's/.*-F \([^ ]*\).*/\1/')
printf '%s\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_misspelt_command_has_the_one_that_was_meant(capsys) -> None:
    for words, found in ((["predcit", "ecg"], "'predict'"), (["-q", "xyz"], "demo-data")):
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        assert caught.value.code == 2
        assert found in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="this machine has no bash")
def test_bash_completes_commands_options_choices_and_paths(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert completed(["siwcc", ""], tmp_path) >= set(COMMANDS)
    assert completed(["siwcc", "re"], tmp_path) == {name for name in COMMANDS if name.startswith("re")}
    assert completed(["siwcc", "demo-data", "--s"], tmp_path) == {"--samples", "--seed"}
    assert completed(["siwcc", "demo-data", "--task", ""], tmp_path) == {"ecg", "nuclei", "spine"}
    assert completed(["siwcc", "report", "res"], tmp_path) == {"results"}


@pytest.mark.parametrize(("shell", "first"), [("zsh", "#compdef siwcc"), ("tcsh", "# AUTOMATICALLY GENERATED")])
def test_completion_of_other_shells_names_every_command(
    shell: str, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(first)
    assert all(command in captured.out for command in COMMANDS)
    assert captured.err == ""
