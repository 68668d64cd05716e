"""The `siwcc` command: what it prints, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import siwcc
from siwcc import files, jobs
from siwcc.cli import main

COMMANDS = ("demo-data", "compare", "plan", "controls", "report", "show")


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "siwcc.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)  # type: ignore[call-overload]


def test_help_names_every_command_with_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n    {command}" in done.stdout
    assert "examples:" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: siwcc {command}" in capsys.readouterr().out


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
    "arguments", [[], ["nonsense"], ["demo-data"], ["demo-data", "--folder", "x", "--task", "eeg"]]
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: siwcc" in capsys.readouterr().err


def test_importing_the_package_is_light() -> None:
    program = "import sys, siwcc; print(sorted({'torch', 'h5py', 'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_public_names_are_found_and_others_are_not() -> None:
    from siwcc.encodings import CoordinateChannels
    from siwcc.errors import InputError

    assert siwcc.CoordinateChannels is CoordinateChannels
    assert siwcc.InputError is InputError
    with pytest.raises(AttributeError, match="module 'siwcc' has no attribute 'nonsense'"):
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
    assert captured.err == "siwcc: --samples, --seed: must be at least 1 and 0\n"
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
    command = [sys.executable, "-m", "siwcc.cli", "compare", *logs]
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
    assert main(["show", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the table"
    assert str(tmp_path / "stats" / "comparisons.csv") in lines


def test_show_before_the_study_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path)]) == 1
    assert (
        capsys.readouterr().err == f"siwcc: {tmp_path / 'stats' / 'table3.txt'}: does not exist; run the study first\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_output_that_finds_no_room_is_one_line(arms: dict[str, list[Path]]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "siwcc.cli", "compare", "--control", *arms["control"], "--study"]
        done = subprocess.run([*command, *arms["study"]], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[len(arms["control"]) :] == ["siwcc: standard output: No space left on device"]


def test_made_up_files_of_two_seeds_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "_LOCK_WAIT_S", 0.1)
    with jobs.locked_folder(tmp_path / "made"):
        assert main(["demo-data", "--folder", str(tmp_path / "made"), "--samples", "1"]) == 1
    said = "another process is writing made-up files there; wait for it, or end it"
    assert capsys.readouterr().err == f"siwcc: {tmp_path / 'made'}: {said}\n"
    assert list((tmp_path / "made").iterdir()) == []
