"""Names in figures are drawn as they are written, and a figure that cannot be drawn costs no study."""

from __future__ import annotations

import csv
import re
import warnings

import pytest
from matplotlib.text import Text

from siwcc.io.errors import InputError
from siwcc.report.figures.literal_text import readable
from siwcc.report.figures.style import (
    FigureFiles,
    new_figure,
    placeholder_on_error,
    save_figure,
    save_figure_as,
    why_not_drawn,
)

NAMES = [
    "visit$_$3", "ward$$7", r"$\frac{", "$a$ and $b$", "a_b^c", "{}", "{0}", "%s", r"\alpha", r"\$x", "it's \"q\"",
    "日本語", "שלום", "مرحبا", "😀", "tab\tx", "nul\x01", "\udce9", "\u202eevil", "e\u0301", "a\nb", "x" * 300,
    "_lead", "--> <b>&amp;</b>", "",
]  # fmt: skip


def named_everywhere(name):
    """A figure with a name in every place where one can be, and an axis of powers of ten."""
    figure = new_figure(5.0, 4.0)
    axis, powers = figure.subplots(1, 2)
    axis.plot([0, 1], [0, 1], label=f"line {name}")
    axis.set_title(name)
    axis.set_xlabel(name)
    axis.annotate(name, (0.5, 0.5))
    axis.set_yticks([0, 1], [name, f"second {name}"])
    powers.set_yscale("log")
    figure.suptitle(name)
    figure.legend()
    return figure


class TestReadable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("lead II, mV²", "lead II, mV²"),
            ("$_$ {} % \\", "$_$ {} % \\"),
            ("שלום", "שלום"),
            ("日x", r"\u65e5x"),
            ("😀🧪", r"😀\U0001f9ea"),
            ("a\tb\nc", "a b\nc"),
            ("\x01\u202e\u200b", r"\x01\u202e\u200b"),
            ("\udce9", r"\udce9"),
            ("", ""),
        ],
    )
    def test_by_hand(self, text, shown):
        assert readable(text) == shown
        assert readable(shown) == shown


class TestSaveFigure:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_name_is_drawn_without_a_warning(self, tmp_path, name):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            save_figure_as(named_everywhere(name), tmp_path / "figure.svg")

    def test_the_same_bytes(self, tmp_path):
        first, again = (FigureFiles.named(tmp_path, name) for name in ("first", "again"))
        for files in (first, again):
            save_figure(named_everywhere("visit$_$ 日本"), files)
        assert first.svg.read_bytes() == again.svg.read_bytes()
        assert first.png.read_bytes() == again.png.read_bytes()

    def test_dollars_are_shown(self, tmp_path):
        files = FigureFiles.named(tmp_path, "figure")
        figure = named_everywhere("a$b$c")
        save_figure(figure, files)
        # Each text is named in a comment of the SVG: title, label, annotation, suptitle, legend, two ticks.
        comments = re.findall(r"<!-- (.*?) -->", files.svg.read_text(encoding="utf-8"))
        shown = [comment.replace("\\$", "$") for comment in comments if "b" in comment]
        assert sorted(shown) == ["a$b$c"] * 5 + ["line a$b$c", "second a$b$c"]
        # Powers of ten stay formulas.
        assert any("10^{0}" in comment for comment in comments)

    def test_a_long_label_keeps_its_ends(self, tmp_path):
        figure = named_everywhere("start" + "x" * 300 + "end")
        save_figure(figure, FigureFiles.named(tmp_path, "figure"))
        labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert [len(label) < 45 and label.endswith("end") for label in labels] == [True, True]
        assert labels[0].startswith("start")
        assert all(len(text.get_text()) <= 120 for text in figure.findobj(Text))


@placeholder_on_error
def plot_numbers(numbers, files):
    """Draws no figure of a negative number."""
    if numbers:
        files.data.write_text("number\n" + "".join(f"{number}\n" for number in numbers))
    if min(numbers) < 0:
        raise ValueError("cannot draw <-1> & $x$ of 日本")
    save_figure(new_figure(2.0, 2.0), files)


class TestPlaceholder:
    def test_a_figure_that_is_drawn_is_none(self, tmp_path):
        files = FigureFiles.named(tmp_path, "figure")
        plot_numbers([1], files)
        assert why_not_drawn(files.svg) is None

    def test_says_what_failed_and_keeps_the_numbers(self, tmp_path, caplog):
        files = FigureFiles.named(tmp_path, "figure")
        plot_numbers(numbers=[1, -1], files=files)
        reason = why_not_drawn(files.svg)
        assert reason is not None
        assert reason.startswith("ValueError: cannot draw <-1> & $x$")
        assert files.png.read_bytes().startswith(b"\x89PNG")
        assert files.data.read_text() == "number\n1\n-1\n"
        assert [record.levelname for record in caplog.records][:1] == ["WARNING"]
        assert str(files.svg) in caplog.text
        first = files.svg.read_bytes(), files.png.read_bytes()
        plot_numbers([-1], files)
        assert (files.svg.read_bytes(), files.png.read_bytes()) == first
        plot_numbers([1], files)
        assert why_not_drawn(files.svg) is None

    def test_without_numbers_the_table_gives_the_reason(self, tmp_path):
        files = FigureFiles.named(tmp_path, "figure")
        plot_numbers([1], files)
        plot_numbers([], files)
        with files.data.open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows == [["not_drawn"], [why_not_drawn(files.svg)]]

    @pytest.mark.parametrize("error", [InputError("file", "is damaged"), OSError(28, "full"), MemoryError()])
    def test_bad_input_and_a_full_disk_stay_errors(self, tmp_path, error):
        @placeholder_on_error
        def plot(files):
            raise error

        with pytest.raises(type(error)):
            plot(FigureFiles.named(tmp_path, "figure"))
        assert list(tmp_path.iterdir()) == []
