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
PROBE = """<script>
document.querySelectorAll('details').forEach(part => { part.open = true; });
const screen_px = document.documentElement.clientWidth;
const outside = [...document.querySelectorAll('body *')]
  .filter(part => !part.closest('.scroll, pre, svg, .hidden, script'))
  .filter(part => part.getBoundingClientRect().right > screen_px + 1)
  .map(part => part.tagName + ' ' + part.textContent.slice(0, 40));
const pictures_px = [...document.querySelectorAll('figure svg')].map(part => part.getBoundingClientRect().width);
const prediction = parent.document.createElement('output');
prediction.textContent = JSON.stringify({screen_px, outside, page_px: document.documentElement.scrollWidth,
  smallest_figure_px: Math.min(...pictures_px)});
parent.document.body.append(prediction);
</script></body>"""


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


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "width_px"), [("ecg", 390), ("ecg", 768), ("ecg", 1280), ("strict", 390)])
def test_nothing_is_wider_than_the_screen(kind, width_px, tmp_path, tmp_path_factory):
    page = reported_study(tmp_path_factory, kind).folder / "report.html"
    text = page.read_text(encoding="utf-8").replace("</body>", PROBE)
    frame = tmp_path / "frame.html"
    # A frame, because the browser's own window cannot be as narrow as a telephone.
    inner = f'<iframe style="border:0;width:{width_px}px;height:2000px" srcdoc="{html.escape(text)}"></iframe>'
    frame.write_text(f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><body>{inner}</body></html>', "utf-8")
    done, _ = browse(frame, tmp_path, "--window-size=1400,2100")
    found = json.loads(html.unescape(re.search(r"<output>(.*?)</output>", done.stdout)[1]))
    assert found["screen_px"] == width_px
    assert found["page_px"] == width_px
    assert found["outside"] == []
    assert found["smallest_figure_px"] >= 300
