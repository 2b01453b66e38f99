"""Errors that a user can act on: one line each, naming what was wrong, where, got and expected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from mcuformer.fields import Model, keys_at


class McuformerError(Exception):
    """A fault of the input or the environment, told in one line.

    Args:
        message: what was wrong.
        where: dotted configuration path, file or layer name.
        got: the offending value.
        expected: what would have been accepted.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        where: object = None,
        got: object = None,
        expected: object = None,
    ) -> None:
        self.where, self.got, self.expected = where, got, expected
        line = f"{where}: {message}" if where is not None else message
        details = []
        if got is not None:
            details.append(f"got {got}")
        if expected is not None:
            details.append(f"expected {expected}")
        super().__init__(f"{line} ({', '.join(details)})" if details else line)


class ConfigError(McuformerError):
    """A configuration value is misspelt, of the wrong type or out of range."""


class DataError(McuformerError):
    """A data set or an image is missing, damaged or of the wrong form."""


class ArtifactError(McuformerError):
    """A file of a run is missing, damaged or of a foreign format version."""


class BudgetError(McuformerError):
    """No subnet, or not this one, fits the memory budget."""


class ToolMissingError(McuformerError):
    """A program that a step needs is not installed; the message says what to install."""


class LoweringError(McuformerError):
    """A layer cannot be represented in the integer arithmetic of SPEC.md."""


class PlanError(McuformerError):
    """A memory plan breaks one of its rules."""


class FirmwareError(McuformerError):
    """Building or running a firmware failed."""


class InternalError(McuformerError):
    """The system contradicted itself: for instance C and numpy disagree. Please report it."""

    exit_code = 3


def dotted_path(location: Sequence[int | str], container: Any) -> str:
    """Return where a fault lies in the user's input, without pydantic's names of union members.

    Args:
        location: of pydantic. container: the nested dicts and lists that were validated.
    """
    kept = []
    for number, part in enumerate(location):
        inside = isinstance(container, dict) and part in container
        inside = inside or (isinstance(container, list) and isinstance(part, int))
        if inside:
            container = container[part]
        elif not isinstance(container, dict) or number < len(location) - 1:
            continue  # the name of a union's member; a missing key is last, and in a dict
        kept.append(str(part))
    return ".".join(kept) or "configuration"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a clause that names the known name nearest to a refused one; empty if none is near.

    >>> did_you_mean("weigth_decay", ["weight_decay", "warmup_epochs"])
    "; did you mean 'weight_decay'?"
    """
    near = get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def describe_validation_error(error: ValidationError, container: Any, model: Model) -> str:
    """Return the first fault of a pydantic error as one line with its dotted path.

    Args:
        error: raised by a model's validation.
        container: what was validated.
        model: which it was to be.

    Returns:
        ``path: what was wrong (got VALUE)``, the nearest known name where one was misspelt, and how
        many further faults there are.
    """
    faults = error.errors(include_url=False)
    strays = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    first = (strays or faults)[0]  # what is missing may be there, misspelt
    where = dotted_path(first["loc"], container)
    kind = first["type"]
    if kind == "extra_forbidden":
        near = did_you_mean(first["loc"][-1], keys_at(model, first["loc"]))
        text = f"{where}: unknown key{near}"
    elif kind == "missing":
        text = f"{where}: missing key"
    else:
        message = first["msg"].removeprefix("Value error, ")
        text = f"{where}: {message}"
        if not isinstance(first["input"], dict):
            text += f" (got {first['input']!r})"
        context = first.get("ctx", {})
        choices = str(context.get("expected_tags", context.get("expected", "")))
        text += did_you_mean(context.get("tag", first["input"]), re.findall(r"'([^']*)'", choices))
    more = len(faults) - 1
    return text + (f"; and {more} more fault{'s' if more > 1 else ''}" if more else "")
