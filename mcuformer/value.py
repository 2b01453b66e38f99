"""The base class of all typed values: frozen, strict, and without unknown keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from mcuformer.errors import ConfigError, describe_validation_error


class Value(BaseModel):
    """A frozen, validated value.

    Values are parsed as JSON in strict mode: lax mode accepts ``"3"`` and ``True`` as integers, and
    strict mode on Python objects refuses lists for tuples.
    """

    without_effect: ClassVar[tuple[str, ...]] = ()  # fields that no result depends on
    later: ClassVar[tuple[str, ...]] = ()  # fields that `content` leaves out at their default
    inferable: ClassVar[tuple[str, ...]] = ()  # fields that a configuration may leave to `inferred`

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def inferred(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return values of :attr:`inferable` fields that a configuration leaves null.

        It is called before interpolations are resolved, so that other values may follow these.

        Args:
            content: the configuration of this value, not validated; without its missing values.
        """
        return {}

    @classmethod
    def parse(cls, container: Any, *, where: str | None = None) -> Self:
        """Build the value from plain containers, as read from YAML or JSON.

        Args:
            container: nested dicts, lists, strings and numbers.
            where: prefix of the dotted path in messages, for instance a file name.

        Raises:
            ConfigError: the content is not valid; the message names the dotted path.
        """
        try:
            return cls.model_validate_json(json.dumps(container), strict=True)
        except (
            TypeError,
            RecursionError,
            ValueError,
        ) as error:  # of json; pydantic's is a ValueError
            if not isinstance(error, ValidationError) or _is_no_json(error):
                line = f"{_unwritable(container)}: neither Unicode nor a number of reasonable size"
                raise ConfigError(line, where=where) from error
            line = describe_validation_error(error, container, cls)
            raise ConfigError(line, where=where) from error

    def dump(self) -> dict[str, Any]:
        """Return the value as plain containers, the inverse of :meth:`parse`."""
        return self.model_dump(mode="json")

    def content(self) -> dict[str, Any]:
        """Return as plain containers what results depend on: all but fields `without_effect`.

        Fields of `later` were added after results had been recorded. At their default they are left
        out, so that these results stay valid.
        """
        result = self.dump()
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in self.without_effect or (name in self.later and value == field.default):
                del result[name]
            elif isinstance(value, Value):
                result[name] = value.content()
        return result


def _is_no_json(error: ValidationError) -> bool:
    return error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"


def _unwritable(content: Any) -> str:
    """Return the dotted path of the first value that cannot be written as JSON and read again."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        try:
            from_json(json.dumps(value))
        except (TypeError, ValueError, RecursionError):
            nested = isinstance(value, dict | list) and _unwritable(value)
            return f"{key}.{nested}" if nested else str(key)
    return ""
