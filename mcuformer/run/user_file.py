"""Text files that may come from anybody: read within limits, and never as instructions.

A file of the user's own holds plain values: numbers, texts, lists, mappings, and interpolations of
other keys. Whatever could do more (tags, anchors, resolvers, keys of Hydra) is refused by name, so
that reading a file can neither run anything nor take more than its own size in memory.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcuformer.errors import ArtifactError, ConfigError, McuformerError

if TYPE_CHECKING:
    import yaml  # type: ignore[import-untyped]

MAX_YAML_BYTES = 64 * 1024  # the largest preset of conf/ has 2 KB; PyYAML reads 100 KB a second
MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_NESTING = 32
MAX_INTERPOLATIONS = 32
MAX_DIGITS = 40  # of a whole number; more fits no field
ADVICE = {  # keys that choose files, functions or folders to write to, and what to do instead
    "hydra": "",
    "_target_": "",
    "defaults": ": give its keys here, or set them on the command line",
    "run_dir": ": set it on the command line",
    "points_dir": ": set it on the command line",
}
PACKAGE_HEADER = re.compile(r"^[ \t]*#\s*@package\b", re.MULTILINE)
PLAIN_INTERPOLATION = re.compile(r"\$\{\.*[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\}")
FLOAT = re.compile(  # YAML 1.2's; PyYAML knows that of 1.1, in which 1e-3 is a text
    r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?)$"
)
INTEGER = re.compile(r"^[-+]?(?:0x[0-9a-fA-F]+|0o[0-7]+|0[0-7]*|[1-9][0-9]*)$")
Content = dict[str, Any]


def read_text(path: Path, limit: int, fault: type[McuformerError]) -> str:
    """Return the text of a regular file in UTF-8.

    Args:
        path: the file.
        limit: largest size in bytes.
        fault: type of the errors.

    Raises:
        McuformerError: of type `fault`; the file is missing, not regular, too large or not UTF-8.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise fault("not a regular file", where=path)
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise fault("no such file", where=path) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise fault(f"not readable: {reason}", where=path) from error
    if len(data) > limit:
        raise fault("too large", where=path, expected=f"at most {limit} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise fault(
            "not a text in UTF-8", where=f"{path}:{_position(data[: error.start])}"
        ) from error


def read_json_text(path: Path) -> Any:
    """Return the content of a JSON file: finite numbers, and no key twice in an object.

    Raises:
        ArtifactError: the file cannot be read, or is not such JSON.
    """
    text = read_text(path, MAX_JSON_BYTES, ArtifactError)
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise ArtifactError(f"damaged: {error.msg}", where=where) from error
    except RecursionError as error:
        raise ArtifactError("damaged: nested too deeply", where=path) from error
    except ValueError as error:
        raise ArtifactError(f"damaged: {str(error).partition(';')[0]}", where=path) from error


def _distinct(pairs: list[tuple[str, Any]]) -> Content:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def read_user_yaml(path: Path) -> Content:
    """Return the keys and values of a user's YAML file, with interpolations unresolved.

    Raises:
        ConfigError: the file cannot be read, is not plain, or holds what would reach Hydra; with
            line and column.
    """
    text = read_text(path, MAX_YAML_BYTES, ConfigError)
    header = PACKAGE_HEADER.search(text)
    if header is not None:
        where = f"{path}:{_position(text[: header.start()].encode())}"
        raise ConfigError("not allowed in a file of yours", where=where, got="# @package")
    content = YamlReader(path).read(text)
    if not isinstance(content, dict):
        raise ConfigError("not a mapping of keys to values", where=path)
    return content


class YamlReader:
    """Reads one YAML document of plain values, and refuses everything else by line and column.

    Args:
        path: file of the document, for messages.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.interpolations = path, 0

    def read(self, text: str) -> Any:
        """Return the document's value; an empty document is an empty mapping.

        Raises:
            ConfigError: the document is not plain.
        """
        import yaml

        try:
            nesting = 0
            for event in yaml.parse(text):  # lazily, before anything is built from it
                nesting += self._step(event)
                if nesting > MAX_NESTING:
                    raise self._fault(event, "nested too deeply", f"at most {MAX_NESTING} levels")
            node = yaml.compose(text)
            return {} if node is None else self._value(node, in_list=False)
        except yaml.reader.ReaderError as error:
            where = f"{self.path}:{_position(text[: error.position].encode())}"
            raise ConfigError(
                "not readable: a character not allowed in YAML", where=where
            ) from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reason = " ".join(part for part in (error.context, error.problem) if part)
            raise self._fault(mark, f"not readable: {reason}") from error

    def _fault(self, place: Any, message: str, expected: str | None = None) -> ConfigError:
        """Return an error at a mark, or at the start of an event or node."""
        mark = getattr(place, "start_mark", place)
        where = f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)
        return ConfigError(message, where=where, expected=expected)

    def _step(self, event: Any) -> int:
        """Refuse an event that is not plain; return its change of the nesting."""
        import yaml

        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._fault(event, "anchors and aliases are not allowed", "the value itself")
        if getattr(event, "tag", None) is not None:
            raise self._fault(event, f"tag {event.tag} is not allowed", "a value without a tag")
        if isinstance(event, yaml.CollectionStartEvent):
            return 1
        return -1 if isinstance(event, yaml.CollectionEndEvent) else 0

    def _value(self, node: yaml.Node, *, in_list: bool) -> Any:
        import yaml

        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, in_list=True) for item in node.value]
        text = str(node.value)
        if "${" in text:
            self._check_interpolation(node, text, in_list=in_list)
        return text if node.style is not None else self._scalar(node, text)

    def _mapping(self, node: yaml.MappingNode) -> Content:
        import yaml

        content: Content = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or "${" in key.value or not key.value:
                raise self._fault(key, "a key that is not a text", "a name")
            if key.value in content:
                raise self._fault(key, f"key {key.value!r} stands twice")
            if key.value in ADVICE:
                text = f"{key.value} is not allowed in a file of yours{ADVICE[key.value]}"
                raise self._fault(key, text)
            content[key.value] = self._value(value, in_list=False)
        return content

    def _check_interpolation(self, node: yaml.Node, text: str, *, in_list: bool) -> None:
        """Refuse all but a whole value ``${key}``: resolvers read the machine, sums grow."""
        self.interpolations += 1
        if in_list or not PLAIN_INTERPOLATION.fullmatch(text):
            raise self._fault(
                node,
                f"interpolation {text[:80]} is not allowed",
                "${key} as the whole value of a key",
            )
        if self.interpolations > MAX_INTERPOLATIONS:
            raise self._fault(node, "too many interpolations", f"at most {MAX_INTERPOLATIONS}")

    def _scalar(self, node: yaml.Node, text: str) -> Any:
        """Return the value of an unquoted text: null, true, false, a number, or the text."""
        if text in ("", "~", "null", "Null", "NULL"):
            return None
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        digits = text.replace("_", "")
        if INTEGER.match(digits):
            if len(digits) > MAX_DIGITS:
                raise self._fault(node, "too many digits", f"at most {MAX_DIGITS}")
            sign, bare = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
            octal = len(bare) > 1 and bare[0] == "0" and bare[1] not in "xo"
            return sign * (int(bare, 8) if octal else int(bare, 0))
        if not FLOAT.match(digits):
            return text
        if not math.isfinite(float(digits)):
            raise self._fault(node, "a number beyond all bounds")
        return float(digits)


def _position(before: bytes) -> str:
    """Return ``line:column`` of the character after `before`, both counted from 1."""
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
    return f"{line}:{column}"
