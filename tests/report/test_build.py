from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections import Counter
from html.parser import HTMLParser

import pytest
from made_study import copied_study, made_config, reported_study, shared_study

from siwcc.cli import main as cli
from siwcc.config import parse_config, parse_dataset, write_config
from siwcc.data.samples import Excluded
from siwcc.evaluation import comparisons, statistics
from siwcc.evaluation.baselines.registry import baselines_of
from siwcc.evaluation.comparisons import Row
from siwcc.io.data_layout import DataLayout
from siwcc.io.errors import InputError
from siwcc.io.study_layout import FIGURE_KINDS, StudyLayout
from siwcc.report import build as report
from siwcc.report import costs, deviations, drawing, page, verdict
from siwcc.report import study as studies
from siwcc.report import svg as inline
from siwcc.report.figures import samples
from siwcc.report.figures.style import arm_style, why_not_drawn
from siwcc.report.verdict import Reading, judge

HOPED = {"instability": "less", "test_r2": "greater", "train_r2": "greater"}


def made_rows(effects, **changes):
    """Rows of one model from {metric: fold differences}, with their statistics."""
    rows = []
    for metric, differences in effects.items():
        hoped = HOPED[metric]
        bootstrap = statistics.paired_bootstrap(differences, hoped)
        ratio = 1 / max(len(differences) - 1, 1)
        values = {
            "task": "ecg",
            "variant": "full",
            "control": "coord",
            "study": "weighted",
            "metric": metric,
            "folds": len(differences),
            "mean_difference": bootstrap.mean,
            "ci_low": bootstrap.ci_low,
            "ci_high": bootstrap.ci_high,
            "p_bootstrap": bootstrap.p,
            "p_sign_flip": statistics.sign_flip_p(differences, hoped).p,
            "p_corrected_t": statistics.corrected_t_p(differences, ratio, hoped).p,
            "p_holm": math.nan,
            "conclusion": statistics.conclusion(bootstrap.p, bootstrap.resamples, hoped),
            "opposite": statistics.opposite_conclusion(bootstrap, hoped),
            "fold_ids": tuple(str(fold) for fold in range(1, len(differences) + 1)),
            "fold_differences": tuple(differences),
        }
        rows.append(Row(**values | changes))
    adjusted = statistics.holm([row.p_corrected_t for row in rows]).tolist()
    return [dataclasses.replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


GAIN = [0.050, 0.052, 0.048, 0.051, 0.049]
NOISE = [0.02, -0.03, 0.01, -0.015, 0.01]


def minus(values):
    return [-value for value in values]


# ------------------------------------------------------------------- the verdict


def numbers(text):
    """Every number in a text, with its sign; a name such as R² has none."""
    found = re.findall(r"[+\N{MINUS SIGN}]?\d[\d,]*(?:\.\d+)?", text)
    return [float(each.replace("\N{MINUS SIGN}", "-").replace(",", "")) for each in found]


def sentences_of(effects):
    """Readings of the rows, and the sentences on their one model: one a metric and the conclusion."""
    rows = made_rows(effects)
    [(_, texts)] = judge(rows).models
    return verdict.read_rows(rows), texts


def test_clear_win_and_clear_loss():
    win = {"instability": minus(GAIN), "test_r2": GAIN, "train_r2": GAIN}
    readings, texts = sentences_of(win)
    assert readings == [Reading.GAIN] * 3
    # Test R², instability, training R²: the size without its sign, the interval, 5 of 5 folds.
    # Every resampled mean lies between the smallest and the largest fold, 0.048 and 0.052.
    for text, sign in zip(texts, (1, -1, 1), strict=False):
        size, _, low, high, alike, folds = numbers(text)[:6]
        assert (size, alike, folds) == (0.05, 5, 5)
        assert 0.048 <= sign * low <= 0.052
        assert 0.048 <= sign * high <= 0.052
    lost, lost_texts = sentences_of({metric: minus(values) for metric, values in win.items()})
    assert lost == [Reading.LOSS] * 3
    assert [numbers(text)[0] for text in lost_texts[:3]] == [0.05] * 3
    assert lost_texts[-1] != texts[-1]


def test_no_difference_names_its_p():
    readings, texts = sentences_of({"instability": NOISE, "test_r2": NOISE, "train_r2": NOISE})
    assert readings == [Reading.NOTHING] * 3
    for text, hoped in zip(texts, ("greater", "less", "greater"), strict=False):
        assert f"p = {statistics.paired_bootstrap(NOISE, hoped).p:.3f}" in text


def test_contradictory_metrics():
    rows = made_rows({"instability": GAIN, "test_r2": GAIN, "train_r2": NOISE})
    assert verdict.read_rows(rows) == [Reading.LOSS, Reading.GAIN, Reading.NOTHING]
    found = judge(rows)
    assert numbers(found.summary[-1]) == [1, 1]
    # The metric that is better, then the one that is worse.
    conclusion = found.models[0][1][-1]
    assert 0 < conclusion.index("test R²") < conclusion.index("instability")


def test_one_fold():
    readings, texts = sentences_of({"instability": [-0.1], "test_r2": [0.25], "train_r2": [0.1]})
    assert readings == [Reading.UNTESTABLE] * 3
    assert [numbers(text) for text in texts] == [[0.25]]
    assert judge(made_rows({"test_r2": [0.25]})).limits == ()


def test_two_folds_cannot_decide():
    readings, texts = sentences_of({"instability": [-0.1, -0.2], "test_r2": [0.25, 0.3], "train_r2": [0.1, 0.1]})
    assert readings == [Reading.TOO_FEW] * 3
    assert numbers(texts[-1]) == [2]


def test_a_gain_that_only_the_paper_sees_is_a_hint():
    # The published pattern: all folds up, but unevenly: t = 0.036 / (0.0377 sqrt(1/5 + 1/4)) = 1.42, p = 0.11.
    uneven = [0.01, 0.011, 0.02, 0.035, 0.104]
    rows = made_rows({"test_r2": uneven})
    assert verdict.read_rows(rows) == [Reading.HINT]


def test_equal_arms_take_no_rank_among_the_losses():
    # t = -0.1 / (0.0632 sqrt(1/5 + 1/4)) = -2.36, p = 0.04 alone, 0.08 as one of two.
    rows = made_rows({"test_r2": [-0.02, -0.06, -0.1, -0.14, -0.18], "train_r2": [0.0] * 5})
    assert verdict.read_rows(rows[:1]) == [Reading.LOSS]
    assert verdict.read_rows(rows) == [Reading.HINT_AGAINST, Reading.NOTHING]


def test_equal_gains_in_every_fold_have_no_t_test_and_are_a_hint():
    rows = made_rows({"test_r2": [0.1] * 5})
    assert math.isnan(rows[0].p_holm)
    assert verdict.read_rows(rows) == [Reading.HINT]


def test_limits_name_the_floor_and_the_resolution():
    limits = judge(made_rows({"test_r2": GAIN, "train_r2": GAIN})).limits
    # 5 folds; 1/32 of the sign-flip test; 1/3125 of the bootstrap.
    assert numbers(limits[0]) == [5, 1, 32, 0.0312, 0.00032, 3125]
    assert numbers(limits[2]) == [2]


def test_published_values_count_only_for_the_papers_data():
    published = {
        "published_mean_difference": -0.04,
        "published_ci_low": -0.06,
        "published_ci_high": -0.01,
        "published_p": "<0.00005",
        "published_conclusion": "study < control",
        "agrees_sign": False,
        "agrees_size": False,
        "agrees_conclusion": False,
    }
    rows = made_rows({"test_r2": GAIN}, **published)
    ours = judge(rows, papers_data={"ecg"}).limits
    # Sign, size and conclusion: none of one row; and the row that has another sign.
    assert numbers(ours[-2])[:2] == [0, 1]
    assert "NimeshaNet, test R²" in ours[-1]
    others = judge(rows).limits
    assert not set(ours[-2:]) & set(others)
    assert len(others) == len(ours) - 1


def test_no_rows():
    found = judge([])
    assert found.sentences() == [*found.summary]
    assert len(found.summary) == 1


# --------------------------------------------------------------- comparisons


def test_comparisons_are_read_as_they_were_written(tmp_path):
    rows = made_rows({"test_r2": GAIN, "train_r2": [0.1]}, agrees_sign=True, published_ci_low=0.25, note="a, b")
    comparisons.write_rows(tmp_path / "c.csv", rows)
    assert repr(comparisons.read_rows(tmp_path / "c.csv")) == repr(rows)  # repr: NaN is not equal to itself


# ---------------------------------------------------------------- costs, deviations


def test_costs(tmp_path):
    study, data = tmp_path / "results" / "s", tmp_path / "data"
    head = "s\th:m:s\tmax_rss\n"
    for name, text in {
        "ecg/fold1.tsv": "10\t0:00:10\t100\n",
        "ecg/folds.tsv": "1\t0:00:01\t-\n",
        "ecg/coord/full/fold1/seed42.tsv": "100\t0:01:40\t500\n",
        "ecg/weighted/full/fold1/seed42.tsv": "9\t0:00:09\t1\n200\t0:03:20\t700\n",
    }.items():
        path = study / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + text)
    for name in ("mine.raw.tsv", "mine.samples.tsv", "other.raw.tsv"):
        path = data / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + "3\t0:00:03\t50\n")
    run = study / "ecg" / "coord" / "full" / "fold1" / "seed42"
    run.mkdir(parents=True)
    (run / "model.pt").write_bytes(b"x" * 1234)
    found = {cost.stage: cost for cost in costs.gather_costs(StudyLayout(study), DataLayout(data), ["mine"])}
    assert list(found) == ["raw", "samples", "folds", "train"]
    assert found["train"] == costs.Cost("train", 2, 300.0, 200.0, 700.0, 1234)
    assert found["folds"] == costs.Cost("folds", 2, 11.0, 10.0, 100.0, 0)
    assert found["raw"].jobs == 1


def config_of(**changes):
    return made_config(**changes).model_dump(mode="json")


def test_deviations_follow_the_config(repository, tmp_path):
    path = repository / "resources" / "deviations.yaml"
    found = {item.id: item.text for item in deviations.read_deviations(path, config_of())}
    assert {"synthetic-ecg", "folds", "epochs", "copies-ecg", "leaky-folds"} <= set(found)
    assert numbers(found["folds"]) == [2, 5]
    assert not {"synthetic-nuclei", "exact-labels", "herlev", "folds-by-group"} & set(found)
    kinds = {item.id: item.kind for item in deviations.read_deviations(path, config_of())}
    assert (kinds["folds"], kinds["leaky-folds"]) == ("departs", "keeps")
    assert all("{" not in text for text in found.values())


def test_the_papers_own_study_lists_only_what_it_changes(repository):
    paper = {
        "datasets": {"vfdb": {"format": "vfdb"}, "sipakmed": {"format": "sipakmed"}},
    }
    values = parse_config(paper).model_dump(mode="json")
    found = {item.id for item in deviations.read_deviations(repository / "resources" / "deviations.yaml", values)}
    assert {"exact-labels", "enumerated-bootstrap", "standardisation", "excluded-contours", "centroid"} <= found
    assert not {"epochs", "folds", "copies-ecg", "copies-nuclei", "image-size", "synthetic-ecg"} & found


def test_a_deviation_applies_if_it_does_to_one_of_several_data_sets(repository):
    values = {"format": "vfdb", "synthetic": None}
    datasets = {"real": values, "synthetic": values | {"synthetic": {"samples": 3, "seed": 1}}}
    config = config_of(tasks={"ecg": {"dataset": ["real", "synthetic"]}}, datasets=datasets)
    path = repository / "resources" / "deviations.yaml"
    assert {"synthetic-ecg", "exact-labels"} <= {item.id for item in deviations.read_deviations(path, config)}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: 1", ""),
        ("- {id: a, title: b}", "entry 1 lacks text"),
        ("- [", ""),
        ("- {id: a, title: b, text: c, when: {seed: {above: 1}}}", "not, below, lacks"),
    ],
)
def test_damaged_deviations(tmp_path, text, named):
    path = tmp_path / "d.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        deviations.read_deviations(path, config_of())
    assert str(path) in caught.value.where
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("task", "section", "found", "is_the_papers"),
    [
        ("ecg", {"format": "vfdb"}, 236, True),
        ("ecg", {"format": "vfdb"}, 242, True),
        ("ecg", {"format": "vfdb"}, 100, False),
        ("ecg", {"format": "vfdb", "synthetic": {"samples": 3}}, 236, False),
        ("nuclei", {"format": "herlev"}, 917, False),
        ("nuclei", {"format": "sipakmed"}, 4049, True),
    ],
)
def test_whose_data(task, section, found, is_the_papers):
    assert (studies.not_the_papers(task, parse_dataset(section), found) == "") is is_the_papers


def test_inline_svg_has_its_own_ids_and_the_pages_colours(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns:xlink="x" width="72pt" height="36pt" viewBox="0 0 72 36" '
        'xmlns="y" version="1.1">\n <metadata><a/></metadata><defs><style type="text/css">*{}</style></defs>'
        '<clipPath id="c1"/><g clip-path="url(#c1)"><use xlink:href="#g" style="fill: #1b1f24; stroke: #0072b2"/></g>'
        "</svg>"
    )
    svg = inline.inline_svg(path, "fig", 'R² < 1 & "more"')
    assert svg.startswith('<svg viewBox="0 0 72 36" role="img" aria-labelledby="fig-title" style="max-width:96px">')
    assert "R² &lt; 1 &amp; " in svg
    assert 'id="fig-c1"' in svg
    assert "url(#fig-c1)" in svg
    assert '"#fig-g"' in svg
    assert "fill: currentColor; stroke: var(--blue)" in svg
    assert "metadata" not in svg
    assert "<style" not in svg


# --------------------------------------------------------------------- the page

TABLES = {"errors.csv", "errors_by_stratum.csv", "records.csv", "records_points.csv", "variance.csv"}
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Tags that do not close, ids, references, and what a page must have."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.problems = [], []
        self.ids, self.references, self.tags = Counter(), set(), Counter()
        self.addresses, self.words = [], []
        self.feed(text)
        self.problems += self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags[tag] += 1
        self.ids.update([values["id"]] if "id" in values else [])
        for name in ("aria-labelledby", "href", "xlink:href"):
            value = values.get(name) or ""
            if (name == "aria-labelledby" and value) or value.startswith("#"):
                self.references.add(value.removeprefix("#"))
            elif value:
                self.addresses.append(value)
        self.addresses += [values["src"]] if "src" in values else []
        if tag == "svg" and (values.get("role") != "img" or "aria-labelledby" not in values):
            self.problems.append("a figure without a name")
        if tag == "th" and "scope" not in values and self.get_starttag_text() != "<th>":
            self.problems.append(f"header cell without scope: {self.get_starttag_text()}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.words.append(data)


# 3 forests, 1 network's curves, 1 sample with its channels, 1 of targets; gaps for events; a prediction of each arm,
# and the records of each comparison.
PICTURES = {"ecg": 6 + 1 + 2 + 1, "nuclei": 6 + 2 + 1, "strict": 6 + 1 + 5 + 5}


@pytest.fixture(params=[pytest.param("ecg", marks=pytest.mark.slow), "nuclei", "strict"])
def reported(request, tmp_path_factory):
    study = reported_study(tmp_path_factory, request.param)
    return study, (study.folder / "report.html").read_text(encoding="utf-8")


def written(study, repository):
    """The page of a study whose figures are there already."""
    resources = report.Resources(*(repository / "resources" / name for name in ("table3.csv", "deviations.yaml")))
    report.write_report(study, resources, study.folder / "report.html")
    return (study.folder / "report.html").read_text(encoding="utf-8")


def test_the_figures_that_the_workflow_asks_for_are_those_that_are_drawn(reported):
    study, _ = reported
    assert set((study.folder / "figures").iterdir()) == set(study.files.figures(FIGURE_KINDS))


def test_a_figure_without_data_is_a_placeholder_with_a_warning(tmp_path, tmp_path_factory, monkeypatch, caplog):
    study = copied_study(shared_study(tmp_path_factory, "nuclei"), tmp_path)
    monkeypatch.setattr(drawing, "_drawings", lambda *_: [])
    drawing.draw_complete(study, None)
    for path in study.files.figures(["svg"]):
        assert why_not_drawn(path) == "there is nothing to draw"
        assert f"{path}: there is nothing to draw" in caplog.text
    assert all(path.is_file() for path in study.files.figures(FIGURE_KINDS))


def test_a_forest_of_no_differences_is_not_on_the_page(tmp_path, tmp_path_factory, repository):
    """As where the test fold was scored after the last epoch only, so that there is no instability."""
    study = copied_study(reported_study(tmp_path_factory, "nuclei"), tmp_path)
    for path in study.existing("nuclei", "log.csv"):
        header, *lines = path.read_text().splitlines()
        tested = [number for number, name in enumerate(header.split(",")) if name.startswith("test_")]
        cells = [line.split(",") for line in lines]
        for row in cells[:-1]:
            row[tested[0] :] = [""] * len(tested)
        path.write_text("\n".join([header, *map(",".join, cells)]) + "\n")
        path.with_name("manifest.json").unlink()
    text = written(study, repository)
    assert "only the last epoch was scored" in text
    assert 'id="forest-test-r2' in text
    assert 'id="forest-instability' not in text


def test_page_is_whole_and_needs_nothing_else(reported):
    _, text = reported
    page = Page(text)
    assert page.problems == []
    assert [name for name, count in page.ids.items() if count > 1] == []
    assert page.references - set(page.ids) == set()
    assert [address for address in page.addresses if not address.startswith("data:")] == []
    assert "<script" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\(([^#)][^)]*)\)", text)) == set()
    # Each table is in a figure, whose caption is outside the area that scrolls.
    assert text.count('<figure class="table">') == page.tags["table"] >= 4
    assert page.tags["figcaption"] == page.tags["figure"]
    assert page.tags["caption"] == 0


def test_page_has_every_figure_and_every_figure_its_files(reported):
    study, text = reported
    figures = PICTURES["strict" if study.config.study == "strict" else study.config.run[0]]
    assert Page(text).tags["svg"] == figures
    assert len(list((study.folder / "figures").iterdir())) == 3 * figures


def test_page_shows_the_numbers_of_the_study(tmp_path_factory):
    text = (reported_study(tmp_path_factory, "nuclei").folder / "report.html").read_text(encoding="utf-8")
    words = " ".join(" ".join(Page(text).words).split())
    # Both folds gain exactly 0.1 in R²; one benchmark file with 61.5 s; two encodings in two folds.
    assert "Test R² 0.100 [0.100, 0.100]" in words
    assert re.search(r"\b(61\.5 s|1 min 0[12] s)", words)
    assert re.search(r"\bcpu, 1 thread.* \(4 runs\)", words)


def test_report_lists_excluded_samples_with_reasons(tmp_path, tmp_path_factory, repository, monkeypatch):
    study = copied_study(shared_study(tmp_path_factory, "ecg"), tmp_path)
    found = [Excluded("r1_7", "lead 2 is <flat>"), Excluded("r1_8", "lead 2 is <flat>")]
    monkeypatch.setattr(studies, "read_excluded", lambda samples: found)
    text = written(study, repository)
    assert "lead 2 is &lt;flat&gt;" in text
    assert "r1_7, r1_8" in text


def test_a_partial_study_names_what_is_missing(tmp_path, tmp_path_factory, repository, capsys):
    study = copied_study(shared_study(tmp_path_factory, "ecg"), tmp_path)
    shutil.rmtree(study.folder / "ecg" / "weighted" / "full" / "fold2")
    assert cli.main(["report", str(study.folder), "--resources", str(repository / "resources")]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(study.folder / "report.html")
    assert re.fullmatch(r"missing: .*weighted coordinates: fold 2\n", said.err)
    page = Page((study.folder / "report.html").read_text(encoding="utf-8"))
    words = " ".join(" ".join(page.words).split())
    assert "3 of 4 networks" in words
    assert "1 of 2 trainings" in words
    assert page.problems == []
    assert page.tags["svg"] == PICTURES["ecg"]


def test_a_study_keeps_its_report_when_a_figure_fails(tmp_path, tmp_path_factory, repository, monkeypatch, capsys):
    study = copied_study(shared_study(tmp_path_factory, "ecg"), tmp_path)

    def fails(*_):
        raise ValueError("no $room$ <here>")

    monkeypatch.setattr(samples, "_draw_bin", fails)
    assert cli.main(["report", str(study.folder), "--resources", str(repository / "resources")]) == 0
    assert re.search(r"^missing: .*gaps_ecg.*no \$room\$ <here>", capsys.readouterr().err, re.MULTILINE)
    page = Page((study.folder / "report.html").read_text(encoding="utf-8"))
    assert "gaps_ecg" in " ".join(page.words)
    assert page.problems == []
    assert page.tags["svg"] == PICTURES["ecg"] - 1
    # The numbers were written before.
    assert study.layout.figure("gaps_ecg", "csv").read_text().startswith("from_s,to_s,events")
    monkeypatch.undo()
    assert cli.main(["report", str(study.folder), "--resources", str(repository / "resources")]) == 0
    assert report.describe_missing(study) == []


def test_a_study_without_any_run_still_reports(tmp_path, tmp_path_factory, repository):
    study = copied_study(shared_study(tmp_path_factory, "ecg"), tmp_path)
    for name in ("ecg/coord", "ecg/weighted", "ecg/baselines"):
        shutil.rmtree(study.folder / name)
    text = written(study, repository)
    coord, weighted, baselines = report.describe_missing(study)
    assert numbers(coord) == numbers(weighted) == [1, 2]
    assert [name for name in baselines_of("signal") if arm_style(name).label not in baselines] == []
    assert Page(text).problems == []


def test_a_study_without_comparisons_promises_none(tmp_path, tmp_path_factory, repository):
    study = copied_study(shared_study(tmp_path_factory, "ecg"), tmp_path)
    write_config(study.folder / "config.json", study.config.model_copy(update={"comparisons": ()}))
    text = written(studies.open_study(study.folder), repository)
    assert 'href="#errors"' in text
    assert not {"#comparison", 'id="comparison"'} & set(re.findall(r"#\w+|id=\"\w+\"", text))
    assert Page(text).problems == []


@pytest.mark.parametrize("kind", ["nuclei", pytest.param("strict", marks=pytest.mark.slow)])
def test_figures_and_tables_are_the_same_bytes_again(kind, tmp_path, tmp_path_factory, repository):
    shared = reported_study(tmp_path_factory, kind)
    study = copied_study(shared, tmp_path)
    for name in ("figures", "stats"):
        shutil.rmtree(study.folder / name)
    measured = studies.measure(study, repository / "resources" / "table3.csv")
    report.write_tables(study, measured)
    drawing.draw_figures(study, measured)
    names = [path.relative_to(shared.folder) for path in shared.folder.glob("figures/*")]
    names += [path.relative_to(shared.folder) for path in shared.folder.glob("stats/*.csv")]
    assert {path.name for path in names} >= TABLES
    for name in names:
        assert (study.folder / name).read_bytes() == (shared.folder / name).read_bytes(), name


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_that_is_no_study(tmp_path, content):
    folder = tmp_path / "results" / "x"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(InputError) as caught:
        studies.open_study(folder)
    assert caught.value.where == str(folder / "config.json")


def test_config_on_the_page_does_not_tell_where_a_local_copy_lies():
    values = json.loads(made_config().model_dump_json())
    values["datasets"]["synthetic"] |= {"path": "/somewhere/somebody/private", "synthetic": None}
    text = studies.config_text(parse_config(values))
    assert "somebody" not in text
    assert "(a local copy)" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.4, "59 s"),
        (61.0, "1 min 01 s"),
        (3600.0, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_times_to_read(value, shown):
    assert page.seconds(value) == shown
