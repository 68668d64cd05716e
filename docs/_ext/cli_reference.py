"""The directive `cli-command`: usage, options and examples of one command, made from its argparse parser."""

from __future__ import annotations

import argparse
from typing import Any

from config_reference import escaped, parsed, table
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from siwcc.cli import main as cli

COMMON = {"--help", "--quiet", "--verbose"}


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command's parser, by name; the program's own is ``."""
    program = cli._parser()
    (action,) = (each for each in program._actions if isinstance(each, argparse._SubParsersAction))
    return {"": program, **action.choices}


def _cells(action: argparse.Action) -> tuple[str, str, str]:
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices is not None:
        shown = " / ".join(f"`{each}`" for each in action.choices)
    else:
        shown = "" if action.nargs == 0 else f"`{value}`"
    if action.nargs in ("+", "*"):
        shown += ", one or more" if action.nargs == "+" else ", any number"
    name = ", ".join(f"`{each}`" for each in action.option_strings) or f"`{action.metavar or action.dest}`"
    required = "required: " if action.option_strings and action.required else ""
    return name, shown, escaped(required + (action.help or ""))


class CliCommand(SphinxDirective):
    """`{cli-command} NAME`; without a name: the options that every command has."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Description, usage, table and examples."""
        self.env.note_dependency(cli.__file__)
        name = self.arguments[0] if self.arguments else ""
        parser = commands()[name]
        own = [each for each in parser._actions if not isinstance(each, argparse._SubParsersAction)]
        if name:
            own = [each for each in own if not COMMON & set(each.option_strings)]
        body = [_cells(each) for each in own]
        lines = [escaped(line) for line in (parser.description or "").splitlines()]
        if name:
            usage = parser.format_usage().removeprefix("usage: ").rstrip()
            lines += ["", "```text", *usage.splitlines(), "```"]
        lines += ["", *(table(("option", "value", "meaning"), body) if body else []), ""]
        if name and parser.epilog:
            lines += ["```text", *parser.epilog.rstrip().splitlines(), "```"]
        return parsed(self, lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("cli-command", CliCommand)
    return {"parallel_read_safe": True}
