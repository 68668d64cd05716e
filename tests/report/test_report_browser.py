"""The report in a real browser: nothing on the console, no request, nothing wider than the screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest
from made_study import reported_study
from places import HANGS_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found; on Debian: apt-get install chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
# What the browser asks for by itself (updates, the time) has this in the place of a page's origin.
NO_ORIGIN = "not an origin"
# What a probe found, printed with the page that holds the frame.
ANSWER = """
const output = parent.document.createElement('output');
output.textContent = JSON.stringify(found);
parent.document.body.append(output);
"""
WIDTHS = """
document.querySelectorAll('details').forEach(part => { part.open = true; });
const screen_px = document.documentElement.clientWidth;
const outside = [...document.querySelectorAll('body *')]
  .filter(part => !part.closest('.scroll, .contents ul, pre, svg, .hidden, script'))
  .filter(part => part.getBoundingClientRect().right > screen_px + 1)
  .map(part => part.tagName + ' ' + part.textContent.slice(0, 40));
const figures_px = [...document.querySelectorAll('figure svg')].map(part => part.getBoundingClientRect().width);
const found = {screen_px, outside, page_px: document.documentElement.scrollWidth,
  smallest_figure_px: Math.min(...figures_px),
  captions_that_scroll: document.querySelectorAll('.scroll figcaption, .scroll caption').length};
"""
FIRST_SCREEN = """
const bottom_px = part => part.getBoundingClientRect().bottom;
const bottoms_px = Object.fromEntries(['#summary', '.said', 'table.best', '.first figure svg']
  .map(name => [name, bottom_px(document.querySelector(name))]));
const page_px = document.documentElement.scrollHeight;
const sentences = document.querySelectorAll('.said > p').length;
const forest_left_px = document.querySelector('.first figure svg').getBoundingClientRect().left;
const said_right_px = document.querySelector('.said').getBoundingClientRect().right;
const open = document.querySelectorAll('details[open]').length;
document.documentElement.style.scrollBehavior = 'auto';
window.scrollTo(0, 3000);
const bar = document.querySelector('.contents').getBoundingClientRect();
const links = [...document.querySelectorAll('.contents a')].map(link => link.getAttribute('href'));
location.hash = links.at(-1);
const found = {bottoms_px, page_px, sentences, open, forest_left_px, said_right_px, scrolled_px: scrollY,
  bar_top_px: bar.top, bar_bottom_px: bar.bottom, links: links.length,
  lost: links.filter(link => !document.querySelector(link)),
  glossary_terms: document.querySelectorAll('.glossary dt').length};
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return reported_study(tmp_path_factory, "nuclei").folder / "report.html"


def browse(path, folder, *flags):
    """What the browser prints on opening a file, and the addresses that the page asked for."""
    log = folder / f"{path.stem}.net.json"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / path.stem}", f"--log-net-log={log}", *flags]
    command += ["--enable-logging=stderr", "--v=0", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_S, check=True)
    return done, requests_of_page(log)


def requests_of_page(log):
    """Addresses in a log of the browser's network that a page, and not the browser, wanted."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    # One event a line; the browser may end before it closes the list, so the whole need not be JSON.
    events = [json.loads(line.strip().rstrip("],")) for line in lines if '"initiator":' in line]
    wanted = [event["params"] for event in events]
    return [entry["url"] for entry in wanted if entry["initiator"] != NO_ORIGIN]


def console_lines(done):
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_no_console_message_and_no_request(page, tmp_path):
    done, asked = browse(page, tmp_path)
    assert 'id="verdict"' in done.stdout
    assert console_lines(done) == []
    assert asked == []


@pytest.mark.slow
def test_the_check_would_notice_both(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    bad = '<img alt="" src="http://127.0.0.1:9/x"><script>console.error("seen")</script></body>'
    other = tmp_path / "asking.html"
    other.write_text(text.replace("</body>", bad), encoding="utf-8")
    done, asked = browse(other, tmp_path)
    assert asked == ["http://127.0.0.1:9/x"]
    assert any("seen" in line for line in console_lines(done))


def probe(page, script, folder, width_px, height_px=2000):
    """What a script finds in a page in a frame, because the browser's own window cannot be as narrow as a telephone."""
    text = page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}{ANSWER}</script></body>")
    frame = folder / "frame.html"
    style = f"border:0;width:{width_px}px;height:{height_px}px"
    inner = f'<iframe style="{style}" srcdoc="{html.escape(text)}"></iframe>'
    frame.write_text(f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><body>{inner}</body></html>', "utf-8")
    done, _ = browse(frame, folder, "--window-size=1400,2100")
    return json.loads(html.unescape(re.search(r"<output>(.*?)</output>", done.stdout)[1]))


@pytest.mark.parametrize(
    ("kind", "width_px"),
    [
        ("nuclei", 390),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [("ecg", 390), ("ecg", 768), ("ecg", 1280)]),
        pytest.param("strict", 390, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_wider_than_the_screen(kind, width_px, tmp_path, tmp_path_factory):
    page = reported_study(tmp_path_factory, kind).folder / "report.html"
    found = probe(page, WIDTHS, tmp_path, width_px)
    assert found["screen_px"] == width_px
    assert found["page_px"] == width_px
    assert found["outside"] == []
    assert found["smallest_figure_px"] >= 300
    assert found["captions_that_scroll"] == 0


@pytest.mark.parametrize("kind", ["nuclei", pytest.param("both", marks=pytest.mark.slow)])
def test_the_first_screen_holds_the_verdict_and_the_bar_stays(kind, tmp_path, tmp_path_factory):
    page = reported_study(tmp_path_factory, kind).folder / "report.html"
    found = probe(page, FIRST_SCREEN, tmp_path, 1280, 800)
    # What was run, the sentences, the best methods, and the forest plot beside them.
    assert {name: bottom for name, bottom in found["bottoms_px"].items() if bottom > 800} == {}
    assert found["sentences"] == 3
    assert found["forest_left_px"] > found["said_right_px"]
    assert found["open"] == 0
    assert found["page_px"] <= 8000
    assert found["scrolled_px"] > 0
    assert (found["bar_top_px"], found["bar_bottom_px"] < 60) == (0, True)
    assert found["links"] >= 8
    assert found["lost"] == []
    assert found["glossary_terms"] >= 10
