"""The base class of all typed values: frozen, strict, and without unknown keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mcuformer.errors import ConfigError, describe_validation_error


class Value(BaseModel):
    """A frozen, validated value.

    Values are parsed as JSON in strict mode: lax mode accepts ``"3"`` and ``True`` as integers, and
    strict mode on Python objects refuses lists for tuples.
    """

    without_effect: ClassVar[tuple[str, ...]] = ()  # fields that no result depends on
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
            text = json.dumps(container)
        except (TypeError, ValueError, RecursionError) as error:
            line = "a value that is no text, number, list or mapping of reasonable size"
            raise ConfigError(line, where=where) from error
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            line = describe_validation_error(error, container, cls)
            raise ConfigError(line, where=where) from error

    def dump(self) -> dict[str, Any]:
        """Return the value as plain containers, the inverse of :meth:`parse`."""
        return self.model_dump(mode="json")

    def content(self) -> dict[str, Any]:
        """Return as plain containers what results depend on: all but fields `without_effect`."""
        result = self.dump()
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name in self.without_effect:
                del result[name]
            elif isinstance(value, Value):
                result[name] = value.content()
        return result
