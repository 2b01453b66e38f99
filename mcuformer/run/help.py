"""The text of ``--help``: every key of a command with its default and one line about it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from mcuformer.fields import MISSING, Model, member, members, tags
from mcuformer.run.default_options import resolved
from mcuformer.run.presets import conf_dir, option_names, preset_content, primary_config

WIDTH, COLUMN = 100, 38
CHAIN = "mcuformer"  # the one command that is not named after its module
FLAGS = """\
flags:
  --help, --version
  -m               one job for each combination of the values in key=1,2,3 and group=a,b
  --cfg job        print the configuration that the arguments make, and run nothing
  --hydra-help     Hydra's own flags
A file of yours may stand for an option: device=./my_board.yaml. Texts need no quotes."""


def help_text(config_name: str, model: Model) -> str:
    """Return the help of a command.

    Args:
        config_name: name of the primary configuration.
        model: type of the configuration.
    """
    program = (
        "mcuformer" if config_name == CHAIN else f"python -m {config_name.replace('_', '.', 1)}"
    )
    head = (conf_dir() / f"{config_name}.yaml").read_text().splitlines()
    comments = [line.removeprefix("# ") for line in head if line.startswith("# ")]
    content, groups = primary_config(config_name, model)
    chosen = {
        key.split()[-1].rpartition("@")[2]: str(option)
        for entry in content["defaults"]
        if isinstance(entry, Mapping)
        for key, option in entry.items()
        if not key.startswith("optional")
    }
    lines = [f"usage: {program} [key=value ...] [group=option ...] [flags]", "", "example:"]
    lines += [f"  {line}" for line in comments] + ["", "keys, with their defaults:"]
    texts = documented(model)
    for name in model.model_fields:
        if name not in groups:
            lines.append(_row(name, content.get(name), texts.get(name, "")))
    for name, group in groups.items():
        option = chosen.get(name, chosen.get(group, ""))
        option = resolved(option, chosen)
        choice = name if name == group else f"{group}@{name}"
        options = ", ".join(option_names(group, model.model_fields[name]))
        lines += ["", _row(choice, option, f"{texts.get(name, '')} Options: {options}")]
        info = model.model_fields[name]
        values = preset_content(group, option, info)
        inner = member(info.annotation, values) or members(info.annotation)[0]
        lines += _keys(name, inner, values)
    return "\n".join([*lines, "", FLAGS])


def _keys(prefix: str, model: Model, values: Mapping[str, Any]) -> list[str]:
    """Return the lines of the keys of a model, and of the models inside, with their values."""
    texts, lines = documented(model), []
    for key, info in model.model_fields.items():
        value = values.get(key, MISSING)
        inner = member(info.annotation, value) if isinstance(value, dict) else None
        if inner is not None:
            lines += _keys(f"{prefix}.{key}", inner, value)
        elif key not in tags(model):
            lines.append(_row(f"  {prefix}.{key}", value, texts.get(key, "")))
    return lines


def _row(key: str, value: Any, text: str) -> str:
    """Return one line, continued under the text's column."""
    shown = value if isinstance(value, str) else json.dumps(value)
    left = f"  {key}={textwrap.shorten(shown, WIDTH - COLUMN, placeholder=' ...')}"
    space = " " * COLUMN
    wrapped = textwrap.wrap(text, WIDTH - COLUMN) or [""]
    first = (
        f"{left:<{COLUMN - 1}} {wrapped[0]}"
        if len(left) < COLUMN
        else f"{left}\n{space}{wrapped[0]}"
    )
    return "\n".join([first.rstrip(), *(space + line for line in wrapped[1:])])


def documented(model: Model) -> dict[str, str]:
    """Return one line about each field, from ``Args`` in the docstrings of model and bases."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        text = textwrap.dedent((base.__doc__ or "").partition("\n    Args:\n")[2])
        section = text.partition("\n\n")[0]
        for match in re.finditer(
            r"^(\w+): (.*(?:\n    .*)*)", textwrap.dedent(section), re.MULTILINE
        ):
            found[match[1]] = " ".join(match[2].split())
    return found
