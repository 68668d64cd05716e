"""The `siwcc` command."""

from __future__ import annotations

import argparse
import atexit
import gc
import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import siwcc
from siwcc.io.console import note, verbosity
from siwcc.io.errors import InputError
from siwcc.io.extras import absent_extra
from siwcc.io.spelling import did_you_mean
from siwcc.io.study_layout import StudyLayout

_EXAMPLES = """examples:
  siwcc demo-data --task ecg --folder demo-records --samples 12
  siwcc compare --control coord/fold*/log.csv --study weighted/fold*/log.csv
  siwcc inspect data/samples/vfdb.h5 results/paper/ecg/coord/full/fold1/seed42/*
  siwcc plan resources/studies/herlev-small.yaml
  siwcc train my-records --out my-model --rate 250
  siwcc predict ecg vfdb/418 --at 1000 --plot 418.png
  siwcc controls --out controls
  siwcc show results/paper
  siwcc report results/paper
  siwcc export ecg --to onnx --out ecg.onnx

Data go to standard output, messages to standard error. Exit codes:
    0  done
    1  bad input: one line says where, what is wrong and the way out; or a wrong verdict of `siwcc controls`
    2  wrong command line
  130  interrupted
"""


class _Help(argparse.HelpFormatter):
    """Fills paragraphs as usual and leaves lines as they are that follow one ending in a colon."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip("\n").split("\n\n")
        return "\n\n".join(
            block if ":\n" in block else super(_Help, self)._fill_text(block, width, indent) for block in blocks
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        0 on success, 1 on bad input (one line on stderr), 2 on a wrong command line, 130 when interrupted.
    """
    _let_every_name_pass()
    # Python searches all objects for garbage once more before it ends: with torch a fourth of the time of its import.
    atexit.register(gc.freeze)
    try:
        options = _parse(sys.argv[1:] if arguments is None else arguments)
        # Within it: a bar is gone before an error is told.
        with verbosity(options.verbosity):
            code = int(options.run(options))
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"siwcc: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        line = absent_extra(f"siwcc {options.command}", error)
        if line is None:
            raise
        print(line, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted.
        _drop_output()
        return 0
    except OSError as error:
        where = "standard output" if error.filename is None else os.fsdecode(error.filename)
        print(f"siwcc: {where}: {error.strerror or error}", file=sys.stderr)
        _drop_output()
        return 1
    except KeyboardInterrupt:
        print("siwcc: interrupted", file=sys.stderr)
        return 130


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    # Options before the command take no values.
    command = next((word for word in arguments if not word.startswith("-")), None)
    known = _commands(parser)
    if command is not None and command not in known:
        parser.error(f"{command!r} is no command; {did_you_mean(command, known) or ', '.join(known)}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        offered = _commands(parser)[options.command]._option_string_actions
        parser.error(f"unknown: {' '.join(unknown)}; {did_you_mean(unknown[0], list(offered))}".removesuffix("; "))
    return options


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: command for group in groups for name, command in group.choices.items()}


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        problem = f"{text!r} is no number of seconds; name MODEL and INPUT before --at"
        raise argparse.ArgumentTypeError(problem) from None


def _let_every_name_pass() -> None:
    r"""A file's name may hold bytes that are no text: they are printed as `\udce9`, which JSON reads as the name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Python must not complain when it flushes at the end what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siwcc",
        description="Signal intensity-weighted coordinate channels: tools around the study.",
        epilog=_EXAMPLES,
        formatter_class=_Help,
    )
    parser.set_defaults(verbosity="normal")
    parser.add_argument("--version", action="version", version=f"siwcc {siwcc.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_demo_data(commands.add_parser("demo-data", help="write synthetic raw files: WFDB records or cell images"))
    _add_compare(commands.add_parser("compare", help="compare two sets of per-epoch logs, paired in the order given"))
    _add_inspect(commands.add_parser("inspect", help="say what is in a file of a study, or draw it"))
    _add_train(commands.add_parser("train", help="train networks on a folder of recordings or images"))
    _add_predict(commands.add_parser("predict", help="predict a time in a recording or a point in an image"))
    _add_studies(commands.add_parser("studies", help="list the studies that come with the repository"))
    _add_plan(commands.add_parser("plan", help="estimate a study's time and disk on this machine, before it starts"))
    _add_controls(commands.add_parser("controls", help="does the study find an effect that is there, and no other?"))
    _add_report(commands.add_parser("report", help="draw and report what a study has, complete or not"))
    _add_show(commands.add_parser("show", help="print a study's main results and open its report"))
    _add_export(
        commands.add_parser("export", help="write a trained model for other programs: ONNX or exported program")
    )
    _add_completion(commands.add_parser("completion", help="print what makes a shell complete this command"))
    for each in (parser, *commands.choices.values()):
        _add_manners(each)
    return parser


def _add_manners(parser: argparse.ArgumentParser) -> None:
    """What every command understands, before its name and after it."""
    parser.formatter_class = _Help
    verbosity = parser.add_mutually_exclusive_group()
    # Without a default of its own: a subcommand's would replace what stood before its name.
    common: dict[str, Any] = {"action": "store_const", "dest": "verbosity", "default": argparse.SUPPRESS}
    verbosity.add_argument(
        "-q", "--quiet", const="quiet", help="no notes and no progress, only warnings and errors", **common
    )
    verbosity.add_argument("-v", "--verbose", const="verbose", help="log lines, too", **common)


def _add_demo_data(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write synthetic raw files in the layout of the real sets: records as in VFDB, three to six minutes each, or "
        "cell images with contours as in SIPaKMeD. Prints the folder."
    )
    parser.epilog = """examples:
  siwcc demo-data --folder demo-records
  siwcc demo-data --task nuclei --folder demo-cells --samples 40 --seed 7
"""
    shown = "what to make; spine: radiographs with many landmarks (default: ecg)"
    parser.add_argument("--task", choices=("ecg", "nuclei", "spine"), default="ecg", help=shown)
    parser.add_argument("--folder", type=Path, required=True, help="where the files go; made if absent")
    parser.add_argument("--samples", type=int, default=12, help="records, cells or radiographs (default: 12)")
    parser.add_argument("--seed", type=int, default=42, help="the same seed gives the same bytes (default: 42)")
    shown = "as the published sets, or a folder with a table as your own data would be (default: published)"
    parser.add_argument("--layout", choices=("published", "folder"), default="published", help=shown)
    parser.set_defaults(run=_run_demo_data)


def _run_demo_data(options: argparse.Namespace) -> int:
    from siwcc.config import KIND_OF_TASK
    from siwcc.data.datasets.synthetic.write import write_synthetic
    from siwcc.io.locks import locked_folder

    if options.samples < 1 or options.seed < 0:
        raise InputError("--samples, --seed", "must be at least 1 and 0")
    # Two seeds at once would leave a mixture of both.
    with locked_folder(options.folder, "another process is writing synthetic files there"):
        if options.task == "spine":
            write_synthetic("image", options.folder, options.samples, options.seed, "radiographs")
        else:
            write_synthetic(KIND_OF_TASK[options.task], options.folder, options.samples, options.seed, options.layout)
    print(options.folder)
    return 0


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.description = "Compare two arms of any training by their per-epoch logs, as in the paper's Table 3."
    parser.epilog = """A log is a CSV table with the columns epoch, train_r2 and test_r2. Tables of Lightning, Keras,
W&B and TensorBoard can be read: rows of one epoch are merged where their cells do not overlap, and --train-column
and --test-column name other columns.

examples:
  siwcc compare --control coord/fold*/log.csv --study weighted/fold*/log.csv
  siwcc compare --control a.csv b.csv --study c.csv d.csv --format json --out rows.csv
  siwcc compare --control keras1.csv --study keras2.csv --train-column r2_score --test-column val_r2_score
  siwcc compare --control tensorboard1.csv --study tensorboard2.csv --test-column Value
"""
    for arm, what in (("control", "one a fold"), ("study", "paired with the control logs in the order given")):
        shown = f"logs of the {arm} arm, {what}"
        parser.add_argument(f"--{arm}", nargs="+", type=Path, required=True, metavar="LOG", help=shown)
    for part in ("train", "test"):
        shown = f"column with the {part} R2, of a foreign log (default: the only {part}_r2*); several are averaged"
        parser.add_argument(f"--{part}-column", nargs="+", metavar="NAME", help=shown)
    fraction = "fraction of the samples that is tested on in one fold, for the corrected t-test (default: 1/folds)"
    parser.add_argument("--test-fraction", type=float, metavar="F", help=fraction)
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write the rows there as CSV, too")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="of standard output")
    parser.set_defaults(run=_run_compare)


def _run_compare(options: argparse.Namespace) -> int:
    from siwcc.evaluation.comparisons import compare_logs, format_rows
    from siwcc.evaluation.logs import LogColumns
    from siwcc.io.files import write_text

    columns = LogColumns(options.train_column, options.test_column)
    rows = compare_logs(options.control, options.study, options.test_fraction, columns)
    for number, (control, study) in enumerate(zip(options.control, options.study, strict=True), start=1):
        note(f"pair {number}: control {control}, study {study}")
    if options.out is not None:
        if options.out.resolve() in {path.resolve() for path in (*options.control, *options.study)}:
            raise InputError("--out", f"{options.out} is one of the logs", "choose another file")
        write_text(options.out, format_rows(rows, "csv"))
    sys.stdout.write(format_rows(rows, options.format))
    return 0


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    kinds = "samples or fold (.h5), model (.pt), log, predictions or another table (.csv), manifest or config (.json)"
    parser.description = "Read files of a study with all their checks, and say what is in them."
    parser.epilog = """examples:
  siwcc inspect data/samples/demo_ecg.h5 --plot samples.svg
  siwcc inspect models/ecg/all.pt --format json
"""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=kinds)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the one file given: .svg, .png or .pdf")
    shown = "table for the eye, json for programs (default: table)"
    parser.add_argument("--format", choices=("table", "json"), default="table", help=shown)
    parser.set_defaults(run=_run_inspect)


def _run_inspect(options: argparse.Namespace) -> int:
    from siwcc.cli.inspect import contents_json, format_contents, inspect_file

    if options.plot and len(options.files) > 1:
        raise InputError("--plot", "draws one file", "give one file, or leave --plot away")
    contents = [inspect_file(path) for path in options.files]
    if options.plot:
        from siwcc.report.figures.inspection import plot_content

        plot_content(contents[0].path, contents[0].kind, options.plot)
    sys.stdout.write(format_contents(contents) if options.format == "table" else contents_json(contents))
    return 0


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train a network for each fold on your data, evaluate it on the groups of that fold, and put the networks into "
        "a folder for siwcc predict (docs/how-to/own-data.md). DATA is only read: a folder with samples.csv, listing "
        "times in recordings or points in images; or such a table; or a folder of WFDB records with annotated rhythms. "
        "If the command is stopped, the same command resumes it."
    )
    parser.epilog = """examples:
  siwcc train my-records --out my-model --rate 250  # CSV recordings at 250 Hz, table my-records/samples.csv
  siwcc train my-images --out trial --quick  # images; few copies and epochs, for a trial
  siwcc train vfdb --out vf-model --labels VF VFIB VFL  # WFDB records, annotated rhythms
"""
    parser.add_argument("data", type=Path, metavar="DATA", help="folder, or table in its folder")
    shown = "folder for the networks, their calibration and their errors"
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help=shown)
    shown = "folder of the study: data, log, report (default: MODEL.work). It is kept"
    parser.add_argument("--work", type=Path, metavar="FOLDER", help=shown)
    shown = "ecg: a time in a recording; nuclei: a point in an image (default: by the table's columns)"
    parser.add_argument("--task", choices=("ecg", "nuclei"), help=shown)
    shown = "rhythm labels that are events, for WFDB annotations (default: VF VFIB VFL VT ASYS HGEA)"
    parser.add_argument("--labels", nargs="+", metavar="LABEL", help=shown)
    parser.add_argument("--rate", type=float, metavar="HZ", help="sampling rate of CSV recordings")
    shown = "leads by number, from 1 (default: the first two, or one if a recording has no more)"
    parser.add_argument("--leads", nargs="+", type=int, metavar="N", help=shown)
    shown = "pixels of the square that an image is fitted into, a multiple of 16 (default: 128; with --quick 64)"
    parser.add_argument("--image-size", type=int, metavar="PX", help=shown)
    parser.add_argument("--folds", type=int, default=5, help="networks; at most as many as groups (default: 5)")
    parser.add_argument("--epochs", type=int, metavar="N", help="default: 4 for recordings, 6 for images")
    parser.add_argument("--seed", type=int, default=42, help="of folds, copies and trainings (default: 42)")
    parser.add_argument("--cores", type=int, metavar="N", help="trainings at once (default: this machine's cores)")
    parser.add_argument("--quick", action="store_true", help="few augmented copies and epochs: for a trial")
    parser.set_defaults(run=_run_train)


def _run_train(options: argparse.Namespace) -> int:
    from siwcc.cli.train import run

    return run(options)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Predict every onset in a recording, one event in each window of it, or the point in an image. For research, "
        "not for clinical decisions.\n"
        "A detector lists the onsets of malignant rhythms, or none. A localiser assumes that every window or image has "
        "an event or point: it always returns a prediction (docs/how-to/predict.md)."
    )
    parser.epilog = """examples:
  siwcc predict ecg vfdb/418 --at 1000  # the window around 1000 s of a WFDB record
  siwcc predict ecg vfdb/418 --every 10 --format csv  # a window each 10 s
  siwcc predict ecg holter.csv --rate 128 --leads 1 3 --plot holter.svg
  siwcc predict my-detectors vfdb/418 --threshold 0.7 --annotate vfdb  # onsets in the whole record, vfdb/418.siw
  siwcc predict results/mine/ecg/none/heatmap vfdb/419  # a study's networks, of all its folds
  siwcc predict nuclei cells/*.png --format json
"""
    shown = "ecg or nuclei, the models that come with siwcc; a model.pt; or a folder of them: its fold*.pt, else its "
    shown += (
        "*.pt, else its fold*/seed*/model.pt. Recordings are given to the detectors in its folder onsets, if there "
    )
    shown += "is one and no windows are asked for"
    parser.add_argument("model", type=Path, metavar="MODEL", help=shown)
    shown = "WFDB records (with or without extension), EDF, CSVs (one row per sample, one column per lead, mV), or "
    shown += "images: BMP, PNG, TIFF, JPEG; further files that end in .pt are models"
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help=shown)
    shown = "one more model or folder of models; all of them predict together. May be repeated"
    parser.add_argument("--model", dest="more", action="append", type=Path, default=[], metavar="MODEL", help=shown)
    windows = parser.add_mutually_exclusive_group()
    shown = "middle of the window, or of several, in seconds of the recording"
    windows.add_argument("--at", nargs="+", type=_seconds, metavar="SECONDS", help=shown)
    shown = "a window each so many seconds (default: half a window; a recording of about one window: that)"
    windows.add_argument("--every", type=float, metavar="SECONDS", help=shown)
    shown = "predictions of the localisers in windows over the whole recording, also if the folder has detectors"
    windows.add_argument("--all-windows", action="store_true", help=shown)
    shown = "detectors: list onsets of at least this calibrated probability, 0 ... 1 (default: that of onsets.json); "
    shown += "without an onsets.json, of at least this score (default: 0.5)"
    parser.add_argument("--threshold", type=float, metavar="P", help=shown)
    shown = "detectors: write a WFDB annotation file of the episodes, RECORD.siw in this folder, or this FILE.siw"
    parser.add_argument("--annotate", type=Path, metavar="DIR|FILE", help=shown)
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="sampling rate of CSV recordings; WFDB records contain their own"
    )
    shown = "leads by number, from 1 (default: those that the model was trained on)"
    parser.add_argument("--leads", nargs="+", type=int, metavar="N", help=shown)
    shown = "only networks that were not trained on the record or slide image, by its name; an error if there is none"
    parser.add_argument("--unseen-only", action="store_true", help=shown)
    shown = "withhold predictions below this confidence, 0 ... 1 (default: 0)"
    parser.add_argument("--min-confidence", type=float, default=0.0, metavar="C", help=shown)
    shown = "withhold those below this probability of being within the limit, 0 ... 1 (default: 0); needs a calibration"
    parser.add_argument("--at-least", type=float, default=0.0, metavar="P", help=shown)
    shown = "what turns confidence into that probability (default: the calibration.json beside the models)"
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=shown)
    shown = "draw the predictions: .png, .svg or .pdf; several images on one contact sheet, several recordings as "
    shown += "FILE-<name> each"
    parser.add_argument("--plot", type=Path, metavar="FILE", help=shown)
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="of standard output")
    parser.set_defaults(run=_run_predict)


def _run_predict(options: argparse.Namespace) -> int:
    from siwcc.cli.predict import run

    return run(options)


def _add_studies(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the studies in resources/studies: what each tests, its networks, data and time."
    parser.epilog = """examples:
  siwcc studies
  make study STUDY=strict  # run one of them, in the repository's folder
"""
    parser.set_defaults(run=_run_studies)


def _run_studies(options: argparse.Namespace) -> int:
    from siwcc.cli.studies import format_presets, read_presets
    from siwcc.cli.train import repository

    sys.stdout.write(format_presets(read_presets(repository("siwcc studies"))))
    return 0


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Estimate what a study will take: a few training steps of each network are timed here and extrapolated. "
        "Samples that are made already, in data/, are counted; the whole set is assumed otherwise."
    )
    parser.epilog = """examples:
  siwcc plan
  siwcc plan resources/studies/herlev-small.yaml --cores 4
"""
    parser.add_argument(
        "overlays", nargs="*", type=Path, help="studies laid over config.yaml, as --configfile takes them"
    )
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="the protocol (default: config.yaml)")
    parser.add_argument("--cores", type=int, help="cores that will work at once (default: this machine's)")
    parser.set_defaults(run=_run_plan)


def _run_plan(options: argparse.Namespace) -> int:
    from siwcc.cli.plan import format_plan, plan_study
    from siwcc.config import load_study

    config = load_study(options.config, options.overlays)
    note("measuring a few training steps ...")
    sys.stdout.write(format_plan(plan_study(config, Path("data")), config, options.cores))
    return 0


def _add_controls(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Two synthetic tasks: in one coordinates must help, in the other they cannot (docs/lab-notebook/controls.md)."
    )
    parser.epilog = """Exit code 0 if the verdicts are right, 1 if one is wrong.

examples:
  siwcc controls
  siwcc controls --out controls --repeats 30
"""
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep data, runs and tables there")
    parser.add_argument("--seed", type=int, default=42, help="of data and trainings (default: 42)")
    shown = "run so many seeds from --seed on, and count how often each test finds a gain (default: 1)"
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help=shown)
    parser.set_defaults(run=_run_controls)


def _run_controls(options: argparse.Namespace) -> int:
    from rich.console import Console

    from siwcc.analyses.controls import print_outcomes, run_controls

    if options.seed < 0 or options.repeats < 1:
        raise InputError("--seed, --repeats", "must be at least 0 and 1")
    outcomes = run_controls(options.out, range(options.seed, options.seed + options.repeats))
    print_outcomes(outcomes, Console())
    return 0 if all(outcome.is_right for outcome in outcomes) else 1


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Test, draw and report what a study has so far, complete or not. Prints the page's path; what is missing is "
        "listed on standard error and on the page."
    )
    parser.epilog = """examples:
  siwcc report results/paper
  siwcc report results/paper --out so-far.html
"""
    parser.add_argument("folder", type=Path, help="results/<study>")
    beside = Path(siwcc.__file__).resolve().parent.parent / "resources"
    shown = "folder with table3.csv and deviations.yaml (default: the project's)"
    parser.add_argument("--resources", type=Path, default=beside, metavar="FOLDER", help=shown)
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="default: report.html in the study's folder")
    parser.set_defaults(run=_run_report)


def _run_report(options: argparse.Namespace) -> int:
    from siwcc.report.build import report_study

    path = options.out or StudyLayout(options.folder).report
    for line in report_study(options.folder, options.resources, path):
        note(f"missing: {line}")
    print(path)
    return 0


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a study's main results and where its files are. With a display, open its report."
    parser.epilog = """examples:
  siwcc show results/paper
  siwcc show results/paper --table
"""
    parser.add_argument("--table", action="store_true", help="print the table of all comparisons, too")
    parser.add_argument("folder", type=Path, help="results/<study>")
    parser.set_defaults(run=_run_show)


def _run_show(options: argparse.Namespace) -> int:
    from siwcc.io.checksums import read_text

    study = StudyLayout(options.folder)
    if not study.summary.is_file():
        raise InputError(study.summary, "does not exist", "run the study first")
    texts = [read_text(path) for path in ((study.summary, study.table3) if options.table else (study.summary,))]
    sys.stdout.write("\n".join(texts))
    for path in (study.table("comparisons"), study.report):
        if path.is_file():
            print(path)
    if study.report.is_file() and _has_display():
        import webbrowser

        webbrowser.open(study.report.resolve().as_uri())
    return 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a trained network, its encoding included, for programs that know nothing of siwcc."
    parser.epilog = """The file is compared with the model before it gets its name, and says what it takes and gives.

examples:
  siwcc export ecg --to onnx --out ecg.onnx
  siwcc export nuclei --to exported-program --out nuclei.pt2
"""
    shown = "a model.pt; ecg or nuclei, the models that come with siwcc; or a folder. Of a folder its all.pt is taken"
    parser.add_argument("model", type=Path, metavar="MODEL", help=shown)
    parser.add_argument("--to", choices=("onnx", "exported-program"), default="onnx", help="default: onnx")
    shown = "default: the model's name with .onnx or .pt2, beside it; of ecg and nuclei in the current folder"
    parser.add_argument("--out", type=Path, metavar="FILE", help=shown)
    parser.set_defaults(run=_run_export)


def _run_export(options: argparse.Namespace) -> int:
    from siwcc.inference.export import export_model

    print(export_model(options.model, options.to, options.out))
    return 0


def _has_display() -> bool:
    if os.environ.get("CI"):
        return False
    return sys.platform in ("darwin", "win32") or bool(
        (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and shutil.which("xdg-open")
    )


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a script that makes a shell complete commands, options, choices and paths of siwcc."
    parser.epilog = """examples, once each:
  siwcc completion bash > ~/.local/share/bash-completion/completions/siwcc
  siwcc completion zsh > ~/.zsh/completions/_siwcc      # a folder that is in $fpath
  siwcc completion tcsh > ~/.siwcc.completion.csh       # to be sourced in ~/.tcshrc
"""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")
    parser.set_defaults(run=_run_completion)


def _run_completion(options: argparse.Namespace) -> int:
    import shtab

    parser = _parser()
    _complete_paths(parser)
    print(shtab.complete(parser, options.shell))
    return 0


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    from shtab import FILE

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _complete_paths(each)
        elif action.type is Path:
            action.complete = FILE  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
