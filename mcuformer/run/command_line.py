"""A command line in Hydra's terms: flags, values, and choices of groups' options."""

from __future__ import annotations

import os
import re
from argparse import ArgumentError, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcuformer.errors import ConfigError, did_you_mean
from mcuformer.fields import fields_at, members, nullable, texts, unknown_key
from mcuformer.run.presets import conf_dir
from mcuformer.run.user_file import MAX_DIGITS
from mcuformer.value import Value

FOLDER_FLAGS = ("config_path", "config_name", "config_dir", "experimental_rerun")
MODES = ("run", "cfg", "multirun", "shell_completion", "info")
SWEEP = re.compile(r"^\s*(choice|range|interval|glob|shuffle|sort|tag)\s*\(")
OPTION = re.compile(
    r"^(?!(?:true|false|nan|inf)$)[A-Za-z_][\w.-]{0,63}(?:/[A-Za-z_][\w.-]{0,63})?$",
    re.IGNORECASE | re.ASCII,
)
HYDRAS = ("hydra.", "hydra/")
TOO_MANY_DIGITS = re.compile(rf"\d{{{MAX_DIGITS + 1}}}", re.ASCII)


@dataclass(frozen=True)
class CommandLine:
    """A command line in Hydra's terms.

    Args:
        flags: flags of Hydra itself, with their values.
        parsed: the same, by name.
        overrides: values of keys, and choices of groups' options.
        files: files of the user's own options, by group and by the name used in `overrides`.
    """

    flags: list[str]
    parsed: Namespace
    overrides: list[str]
    files: dict[str, dict[str, Path]]


def read_command_line(arguments: Sequence[str], model: type[Value]) -> CommandLine:
    """Separate flags, values and choices; refuse unknown flags and keys.

    Every key of the model may be set (Hydra's ``++``), even inside a value that the chosen presets
    leave null. ``group=./file.yaml`` makes the file an option of its group, so users need no
    checkout for their own files. A value that can only be a text needs no quotes.

    Args:
        arguments: command line without the program's name.
        model: type of the configuration.

    Raises:
        ConfigError: a flag or key is unknown, or a file does not exist.
    """
    flags, parsed = _split_flags(arguments)
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    groups |= {name for name, info in model.model_fields.items() if members(info.annotation)}
    files: dict[str, dict[str, Path]] = {}
    result = []
    for override in parsed.overrides:
        key, equals, value = override.partition("=")
        bare = key.lstrip("+~")
        group = bare.partition("@")[0]
        if not bare or not (equals or key.startswith("~")):
            raise ConfigError("not an argument", got=repr(override), expected="key=value")
        if group in groups and equals:
            options = files.setdefault(group, {})
            result.append(_choice(key, value, options, sweep=parsed.multirun))
        elif key[0] in "+~" or key.startswith(HYDRAS) or group in groups:
            result.append(override)
        else:
            refuse(unknown_key(model, key.split(".")))
            result.append(f"++{key}={_value(model, key, value, sweep=parsed.multirun)}")
        if TOO_MANY_DIGITS.search(result[-1]):
            raise ConfigError("too many digits", where=key, expected=f"at most {MAX_DIGITS}")
    return CommandLine(flags, parsed, result, files)


def _choice(key: str, value: str, options: dict[str, Path], *, sweep: bool) -> str:
    """Return the override that chooses options, one or several; add their files to `options`."""
    if sweep and SWEEP.match(value):
        return f"{key}={value}"
    names = [value] if _is_file(value) else value.split(",")
    if "null" in names:
        raise ConfigError("no option of this name", where=key, got="null", expected="none")
    if len(names) > 1 and not sweep:
        raise ConfigError("several options without a sweep", where=key, got=value, expected="-m")
    for position, name in enumerate(names):
        if name.endswith((".yaml", ".yml")):
            path = Path(os.path.expanduser(name))
            if not _is_file(name):
                raise ConfigError("no such file", where=key, got=name)
            stem = re.sub(r"\W", "_", path.stem, flags=re.ASCII)[:40]
            names[position] = f"user_{len(options)}_{stem}"
            options[names[position]] = path
        elif not OPTION.match(name):
            expected = "the name of an option, or a .yaml file"
            raise ConfigError(
                "no option of this name", where=key, got=repr(name), expected=expected
            )
    return f"{key}={','.join(names)}"


def _is_file(name: str) -> bool:
    """Return whether a name that ends as a user's file does is that of something on the disk."""
    try:
        return name.endswith((".yaml", ".yml")) and os.path.lexists(os.path.expanduser(name))
    except ValueError:  # a NUL byte
        return False


def _value(model: type[Value], key: str, value: str, *, sweep: bool) -> str:
    """Return a value in Hydra's grammar: a text is quoted, unless it says more than itself."""
    from hydra.core.override_parser.types import Quote, QuotedString

    annotations = fields_at(model, key.split("."))
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    swept = sweep and ("," in value or SWEEP.match(value))
    null = value == "null" and any(map(nullable, annotations))
    if not value or quoted or swept or null or not all(map(texts, annotations)):
        return value
    return QuotedString(value, Quote.single).with_quotes()


def refuse(unknown: tuple[str, list[str]] | None) -> None:
    """Raise ConfigError for an unknown key, if given, with the nearest known key at its level.

    Args:
        unknown: dotted path of the key and the known keys at its level, or None.
    """
    if unknown is not None:
        where, known = unknown
        near = did_you_mean(where.rpartition(".")[2], known)
        raise ConfigError(
            f"unknown key{near}", where=repr(where) if not where.isprintable() else where
        )


def _split_flags(arguments: Sequence[str]) -> tuple[list[str], Namespace]:
    """Return Hydra's flags with their values, as texts and by name, with the overrides.

    Raises:
        ConfigError: a flag is unknown, excludes another, or would read folders of configuration,
            whose files could run commands.
    """
    from hydra._internal.utils import get_args_parser  # its only list of flags

    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        known, unknown = parser.parse_known_intermixed_args(list(arguments))
    except ArgumentError as error:
        raise ConfigError(str(error)) from error
    unknown += [flag.replace("_", "-") for flag in FOLDER_FLAGS if getattr(known, flag, None)]
    if unknown:
        raise ConfigError(
            "unknown flag", got=unknown[0], expected="key=value, -m for a sweep, or --help"
        )
    modes = [f"--{mode.replace('_', '-')}" for mode in MODES if getattr(known, mode)]
    if len(modes) > 1:
        raise ConfigError("flags that exclude each other", got=" and ".join(modes))
    if known.resolve and not known.cfg:
        raise ConfigError("--resolve is for --cfg")
    flags = list(arguments)
    for override in known.overrides:
        flags.remove(override)
    return flags, known
