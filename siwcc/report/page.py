"""What the project's pages share: templates, style, and how numbers are printed."""

from __future__ import annotations

import math
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import siwcc
from siwcc.evaluation.statistics import smallest_bootstrap_p
from siwcc.io.files import write_text
from siwcc.report.wording import DASH, three

_SHOWN_PACKAGES = ("siwcc", "torch", "numpy", "scipy", "h5py", "opencv-python-headless", "wfdb", "snakemake")


def open_templates() -> jinja2.Environment:
    """The folder of templates, with the filters for numbers; a name that is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("siwcc.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(three=three, interval=interval, p_value=p_value)
    environment.filters.update(seconds=seconds, size=size, unbroken=unbroken, yes_no=yes_no)
    environment.globals.update(bootstrap_p=bootstrap_p)
    return environment


def write_page(environment: jinja2.Environment, template: str, content: dict[str, Any], path: Path) -> None:
    """Render a template with the common style and write it in one step.

    Args:
        environment: Of `open_templates`.
        template: File name in the folder.
        content: Everything that the template names but `style`.
        path: The HTML file to write.
    """
    style = jinja2.PackageLoader("siwcc.report", "templates").get_source(environment, "report.css")[0]
    # The package's own style sheet.
    write_text(path, environment.get_template(template).render(style=Markup(style), **content))  # noqa: S704


def versions() -> list[tuple[str, str]]:
    """Name and version of Python and of the packages that shape results."""
    found = [("Python", platform.python_version())]
    for name in _SHOWN_PACKAGES:
        try:
            found.append((name, siwcc.__version__ if name == "siwcc" else metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def p_value(value: float | None) -> str:
    """Three significant digits, or a bound below them."""
    return "<0.00001" if value is not None and value < 0.000005 else three(value)


def bootstrap_p(p: float, folds: int) -> str:
    """As `p_value`; 0 is the bound that so many folds allow, `<0.00032` for five."""
    return f"<{smallest_bootstrap_p(folds):.2g}" if p == 0 else p_value(p)


def interval(ends: tuple[float | None, float | None], decimals: int = 9) -> str:
    """Both ends in brackets; `decimals` as in `siwcc.report.wording.three`."""
    low, high = ends
    if low is None or math.isnan(low):
        return DASH
    return f"[{three(low, decimals=decimals)}, {three(high, decimals=decimals)}]"


def seconds(value: float) -> str:
    """Seconds, minutes or hours, two digits that matter."""
    if math.isnan(value):
        return DASH
    if value < 60:
        return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
    if value < 3600:
        return f"{int(value // 60)} min {value % 60:02.0f} s"
    return f"{int(value // 3600)} h {value % 3600 / 60:02.0f} min"


def size(value: float) -> str:
    """Bytes in decimal units."""
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= divisor:
            return f"{value / divisor:.1f} {unit}"
    return f"{value:.0f} B"


def unbroken(text: str) -> str:
    """The text without a line break inside `p = 0.01` and `R² 0.5`."""
    return re.sub(r"\b(p [=<]|R²) (?=\S*\d)", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


def yes_no(mark: bool | None) -> Markup:
    """A mark to see and a word to hear."""
    # Only constants, no value of a file.
    return Markup(  # noqa: S704
        DASH if mark is None else f'{"✓" if mark else "✗"}<span class="hidden"> {"yes" if mark else "no"}</span>'
    )
