"""The directive `config-keys`: a table of the keys of one section, made from `siwcc.config` and config.yaml.

Key, type, range and default come from the schema. The meaning is the comment of the key in config.yaml; a key that is
not there has the description of its field. A key without either stops a strict build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from siwcc import config

SECTIONS: dict[str, type[BaseModel]] = {
    "": config.Config,
    "tasks.ecg": config.SignalTask,
    "tasks.ecg.augmentation": config.SignalAugmentation,
    "tasks.nuclei": config.ImageTask,
    "tasks.nuclei.augmentation": config.ImageAugmentation,
    "tasks.volume": config.VolumeTask,
    "tasks.volume.augmentation": config.VolumeAugmentation,
    "datasets.vfdb": config.VfdbSection,
    "datasets.mitdb": config.WfdbSection,
    "datasets.sipakmed": config.SipakmedSection,
    "datasets.herlev": config.HerlevSection,
    "datasets.folder": config.FolderSection,
    "train": config.Train,
    "onsets": config.Onsets,
    "onsets.training": config.OnsetTraining,
    "onsets.curve": config.OnsetCurve,
}
LOG = logging.getLogger(__name__)


def comments(text: str) -> dict[str, str]:
    """The comment behind each key of a YAML file, by the key's full name."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.match(r"(?P<indent> *)(?P<key>[a-z_]\w*):(?P<rest>.*)$", line)
        if match is None:
            continue
        indent = len(match["indent"])
        parents = [each for each in parents if each[0] < indent]
        parents.append((indent, match["key"]))
        _, mark, comment = match["rest"].partition(" #")
        if mark:
            found[".".join(key for _, key in parents)] = comment.strip()
    return found


def rows(section: str, meanings: dict[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of each key of a section."""
    model = SECTIONS[section]
    for name, field in model.model_fields.items():
        if field.exclude:
            # Not given in the file.
            continue
        inner = _section_of(field)
        full = f"{section}.{name}" if section else name
        if full in SECTIONS:
            continue
        meaning = meanings.get(full) or meanings.get(f"datasets.vfdb.{name}" * section.startswith("datasets"))
        yield from _rows_of_field(name, full, field, meaning or _description(model, name), inner, meanings)


def _rows_of_field(
    name: str,
    full: str,
    field: FieldInfo,
    meaning: str,
    inner: type[BaseModel] | None,
    meanings: dict[str, str],
) -> Iterator[tuple[str, str, str, str]]:
    if inner is not None and inner not in (config.Synthetic,):
        for key, each in inner.model_fields.items():
            if f"{full}.{key}" in SECTIONS:
                continue
            said = meanings.get(f"{full}.{key}") or each.description or ""
            yield f"{name}.{key}", _type(each), _default(each), said
        return
    yield name, _type(field), _default(field), meaning


def _description(model: type[BaseModel], name: str) -> str:
    """That of the field, or of the same field of the class that it overrides."""
    fields = [each.model_fields[name] for each in model.__mro__ if name in getattr(each, "model_fields", {})]
    return next((field.description for field in fields if field.description), "")


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    # Not of a mapping: its keys are names.
    inner = () if get_origin(field.annotation) is dict else get_args(field.annotation)
    for kind in (field.annotation, *inner):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _type(field: FieldInfo) -> str:
    shown = _name(field.annotation)
    limits = []
    for limit in field.metadata:
        for sign, mark in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
            value = getattr(limit, sign, None)
            if value is not None:
                limits.append(f"{mark} {value:,g}" if value < 1e6 else f"{mark} {value}")
    return ", ".join([shown, *limits])


def _name(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if kind == config.EncodingName:
        return "[encoding](/reference/encodings.md)"
    if origin is Annotated:
        return _name(inner[0])
    if origin is Literal:
        return " / ".join(f"`{_value(each)}`" for each in inner)
    if origin in (Union, UnionType):
        return " or ".join(_name(each) for each in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_name(inner[0])}"
        return "[from, to]" if set(inner) == {float} else f"list of {len(inner)}: {_name(inner[0])}"
    if origin is dict:
        return "mapping"
    names = {int: "integer", float: "number", str: "text", bool: "true / false", Path: "path", NoneType: "null"}
    return names.get(kind, "mapping")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value == "":
        return ""
    return "see config.yaml" if isinstance(value, dict) else f"`{_value(value)}`"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(header: tuple[str, ...], body: list[tuple[str, ...]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ("---",) * len(header), *body)]


def escaped(text: str) -> str:
    """Plain text as Markdown; what is in backticks stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts[::2]]
    # A page is named by its path in the repository.
    return re.sub(r"docs/([\w/-]+)\.md", r"[\1](/\1.md)", "".join(parts).replace("|", "\\|"))


class ConfigKeys(SphinxDirective):
    """`{config-keys} SECTION`; without a section: the keys at the top."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        source = Path(self.env.srcdir).parent / "config.yaml"
        for path in (source, config.__file__):
            self.env.note_dependency(str(path))
        section = self.arguments[0] if self.arguments else ""
        meanings = comments(source.read_text(encoding="utf-8"))
        body = []
        for key, kind, default, meaning in rows(section, meanings):
            if not meaning:
                LOG.warning("%s.%s has no comment in config.yaml and no description", section, key)
            body.append((f"`{key}`", kind.replace("|", "\\|"), default, escaped(meaning)))
        return parsed(self, table(("key", "type", "default", "meaning"), body))


def parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    """Markdown as nodes, in a container that the style sheet knows."""
    container = nodes.container(classes=["reference-table"])
    directive.state.nested_parse(StringList(lines), directive.content_offset, container)
    return [container]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("config-keys", ConfigKeys)
    return {"parallel_read_safe": True}
