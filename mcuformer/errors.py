"""Errors that a user can act on: one line with fault, place, offending value and expectation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from mcuformer.fields import Model, keys_at


class McuformerError(Exception):
    """A fault of the input or the environment, reported in one line.

    Args:
        message: description of the fault.
        where: dotted configuration path, file or layer name.
        got: offending value.
        expected: description of valid values.
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
    """A file of a run is missing, damaged or of an unsupported format version."""


class BudgetError(McuformerError):
    """The memory budget admits no subnet, or not the given one."""


class ToolMissingError(McuformerError):
    """A program that a step needs is not installed; the message says what to install."""


class LoweringError(McuformerError):
    """A layer cannot be represented in the integer arithmetic of SPEC.md."""


class PlanError(McuformerError):
    """A memory plan breaks one of its rules."""


class FirmwareError(McuformerError):
    """Building or running a firmware failed."""


class InternalError(McuformerError):
    """A contradiction inside the system, for instance between C and numpy. Please report it."""

    exit_code = 3


def dotted_path(location: Sequence[int | str], container: Any) -> str:
    """Return the dotted path of a fault, without pydantic's names of union members.

    Args:
        location: location in pydantic's error.
        container: nested dicts and lists that were validated.
    """
    kept = []
    for number, part in enumerate(location):
        inside = isinstance(container, dict) and part in container
        inside = inside or (isinstance(container, list) and isinstance(part, int))
        if inside:
            container = container[part]
        elif not isinstance(container, dict) or number < len(location) - 1:
            continue  # a union member's name; a missing key comes last, in a dict
        kept.append(str(part))
    return ".".join(kept) or "configuration"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a clause with the known name nearest to `name`, or an empty string if none is near.

    >>> did_you_mean("weigth_decay", ["weight_decay", "warmup_epochs"])
    "; did you mean 'weight_decay'?"
    """
    near = get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def describe_validation_error(error: ValidationError, container: Any, model: Model) -> str:
    """Return the first fault of a pydantic error as one line with its dotted path.

    Args:
        error: error raised by the validation of `model`.
        container: nested dicts and lists that were validated.
        model: type of the value.

    Returns:
        ``path: fault (got VALUE)``, followed by the nearest known name if one was misspelt and by
        the number of further faults.
    """
    faults = error.errors(include_url=False)
    strays = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    first = (strays or faults)[0]  # a missing key may be present, misspelt
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
