"""Settings of the site: `make docs` builds it into site/ with Sphinx. The built site needs no network."""

from __future__ import annotations

import logging
import os
import re
import sys
import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
# The site describes this checkout, whatever is installed; the notebook's kernel takes the path from the environment.
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

_metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _metadata["name"]
author = "The siwcc authors"
release = _metadata["version"]
repository_url = _metadata["urls"]["Repository"]
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "cli_reference",
    "column_reference",
    "config_reference",
    "markdown_docstrings",
    "offline_check",
    "repository_links",
]
# `make bench` writes a table, which lab-notebook/benchmark-table.md includes.
exclude_patterns = ["_ext", "scripts", "performance/bench.md", "**/.ipynb_checkpoints"]

# Headings get the anchors that GitHub gives them.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# The tutorial runs at every build and must not fail.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
# The kernel reads and writes no settings of the user, and its notes on transport are no finding.
_profile = ROOT / "build" / "ipython" / "profile_default"
_profile.mkdir(parents=True, exist_ok=True)
(_profile / "ipython_kernel_config.py").write_text('get_config().IPKernelApp.log_level = "ERROR"\n')
os.environ["IPYTHONDIR"] = str(_profile.parent)
logging.getLogger("traitlets").setLevel(logging.WARNING)

# Docstrings are of Google's style; single backticks mark code.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Shape"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

# Furo loads nothing from elsewhere, has a dark mode, and works on a narrow screen.
html_theme = "furo"
html_title = "siwcc"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": repository_url,
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["edit"],
    "footer_icons": [{"name": "Repository", "url": repository_url, "html": "Repository", "class": ""}],
}
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

# `make docs-links` only. Links into the repository are checked by the tests; the archive of SIPaKMeD is often down.
linkcheck_ignore = [rf"{re.escape(repository_url)}.*", r"https://www\.cs\.uoi\.gr/.*"]
linkcheck_timeout = 20


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    # Pygments has none for it.
    app.add_lexer("csv", TextLexer)
