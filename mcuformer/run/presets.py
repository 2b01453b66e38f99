"""What Hydra composes: presets, each with its model's defaults under it.

A field of a command's configuration that holds a model is a group: of the field's name, or the one
that the primary configuration places there (``recipe@train``). The options of a group are the files
of ``conf/<group>/`` and, without a file, what its models say alone: a member of a union by its name
(``sampling=sandwich``), a model that needs nothing (``forms=default``), and null (``device=none``).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from mcuformer.errors import ConfigError, InternalError
from mcuformer.fields import MISSING, Model, complete, member, members, nullable, tags
from mcuformer.value import Value

SELF, NOTHING, DEFAULT = "_self_", "none", "default"
GLOBAL = "# @package _global_\n"
PACKAGE = re.compile(r"\A#\s*@package\s+(\S+)")
ValueT = TypeVar("ValueT", bound=Value)
Content = dict[str, Any]
UserFiles = Mapping[str, Mapping[str, Path]]


def conf_dir() -> Path:
    """Return the directory of the shipped configuration: the checkout's, or the wheel's."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "base.yaml").is_file():
            return candidate
    raise ConfigError("the shipped configuration is missing; reinstall mcuformer", where=package)


def load(group: str, name: str, model: type[ValueT], **values: Any) -> ValueT:
    """Return a shipped preset as a value.

    Args:
        group: folder of conf/.
        name: file in it, without its suffix.
        model: of the value.
        values: over the preset's, for instance in place of its interpolations.

    Raises:
        ConfigError: there is no such preset, or it is no such value.
    """
    path = conf_dir() / group / f"{name}.yaml"
    return model.parse(read_preset(path, group) | values, where=str(path))


def read_yaml(path: Path) -> Content:
    """Return a file's keys and values, interpolations as they stand.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    from omegaconf import DictConfig, OmegaConf
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        config = OmegaConf.load(path)
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"not readable: {error}", where=path) from error
    if not isinstance(config, DictConfig):
        raise ConfigError("must map keys to values", where=path)
    content: Any = OmegaConf.to_container(config)
    return dict(content)


def read_preset(path: Path, group: str, above: tuple[Path, ...] = ()) -> Content:
    """Return a preset over those of its group that its ``defaults`` name.

    Args:
        path: the file.
        group: where its bases are looked for, after its own folder.
        above: the presets that build on it.

    Raises:
        ConfigError: it builds on what is not there, or on itself.
    """
    own = read_yaml(path)
    bases = own.pop("defaults", [SELF])
    layers = []
    for base in bases if SELF in bases else [SELF, *bases]:
        if base == SELF:
            layers.append(own)
            continue
        places = [folder / f"{base}.yaml" for folder in (path.parent, conf_dir() / group)]
        found = [file for file in places if file.is_file() and file not in (path, *above)]
        if not found:
            raise ConfigError(f"builds on no other preset of {group}", where=path, got=base)
        layers.append(read_preset(found[0], group, (path, *above)))
    return reduce(merged, layers)


def merged(below: Content, above: Content) -> Content:
    """Return nested dicts with the values of `above` over those of `below`.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        result[key] = merged(below[key], value) if both else value
    return result


def own_options(info: FieldInfo) -> dict[str, Content]:
    """Return the options that a field's models offer without a file, by name."""
    options = {}
    for model in members(info.annotation):
        content = complete(model, tags(model))
        if not _lacks_values(content):
            options[_option(model)] = content
    default = info.get_default(call_default_factory=True)
    if isinstance(default, Value):  # the field's own, which may differ from its model's
        options[_option(type(default))] = default.dump()
    return options


def _option(model: Model) -> str:
    return next(iter(tags(model).values()), DEFAULT)


def _lacks_values(content: Content) -> bool:
    return any(
        _lacks_values(value) if isinstance(value, dict) else value == MISSING
        for value in content.values()
    )


def initial_option(info: FieldInfo) -> str:
    """Return the option of a field for which the primary configuration names none.

    Raises:
        InternalError: the field's models leave it open.
    """
    models = members(info.annotation)
    if not info.is_required():
        default = info.get_default(call_default_factory=True)
        return NOTHING if default is None else _option(type(default))
    if len(models) != 1:
        raise InternalError("no option is named and several could be", got=list(own_options(info)))
    return _option(models[0])


def placed_groups(defaults: Sequence[Any]) -> dict[str, str]:
    """Return the group that a defaults list places first at every key.

    >>> placed_groups(["base", {"recipe@train": "supernet"}, {"optional visit@train": "digits"}])
    {'train': 'recipe'}
    """
    placed: dict[str, str] = {}
    for entry in defaults:
        for choice in entry if isinstance(entry, Mapping) else ():
            group, _, package = str(choice).split()[-1].partition("@")
            placed.setdefault(package or group, group)
    return placed


def primary_config(name: str, model: Model) -> tuple[Content, dict[str, str]]:
    """Return a command's primary configuration, and the group of every field that holds a model.

    The models add an option to the defaults list for every such field that the file does not place,
    and their defaults for all other fields.
    """
    own = read_yaml(conf_dir() / f"{name}.yaml")
    listed = own.pop("defaults")
    placed = placed_groups(listed)
    fields = {n: info for n, info in model.model_fields.items() if members(info.annotation)}
    added = [{n: initial_option(info)} for n, info in fields.items() if n not in placed]
    listed[listed.index(SELF) : listed.index(SELF)] = added
    rest = {n: value for n, value in complete(model, own).items() if n not in fields}
    overlays = {n: value for n, value in own.items() if n in fields}
    return {"defaults": listed, **rest, **overlays}, {n: placed.get(n, n) for n in fields}


@contextmanager
def staged(name: str, model: Model, files: UserFiles) -> Iterator[str]:
    """Yield a folder for Hydra: a command's primary configuration and the options of all groups.

    Args:
        name: of the primary configuration.
        model: of the command's configuration.
        files: the user's own options, by group and name.

    Raises:
        ConfigError: a file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="mcuformer-conf-") as folder:
        primary, groups = primary_config(name, model)
        _write(Path(folder, f"{name}.yaml"), primary)
        for base in (entry for entry in primary["defaults"] if isinstance(entry, str)):
            if base != SELF:
                _copy(conf_dir() / f"{base}.yaml", Path(folder, f"{base}.yaml"))
        infos = {group: model.model_fields[field] for field, group in groups.items()}
        for field, group in groups.items():
            for option, content in own_options(infos[group]).items():
                _write(Path(folder, group, f"{option}.yaml"), content)
            if nullable(infos[group].annotation):
                _write(Path(folder, group, f"{NOTHING}.yaml"), {field: None}, GLOBAL)
        for group, option, path in [*_shipped(), *_given(files)]:
            target = Path(folder, group, f"{option}.yaml")
            if group in infos and PACKAGE.match(path.read_text()) is None:
                content = read_preset(path, group)
                kind = member(infos[group].annotation, content)
                _write(target, content if kind is None else complete(kind, content))
            else:
                _copy(path, target)
        yield folder


def _write(target: Path, content: Content, head: str = "") -> None:
    """Write a configuration: JSON is YAML, and quicker to write."""
    target.parent.mkdir(exist_ok=True)
    target.write_text(head + json.dumps(content))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes())


def _shipped() -> Iterator[tuple[str, str, Path]]:
    """Yield group, option and file of the presets of conf/."""
    for path in sorted(conf_dir().glob("*/*.yaml")):
        yield path.parent.name, path.stem, path


def _given(files: UserFiles) -> Iterator[tuple[str, str, Path]]:
    """Yield group, option and file of the user's presets."""
    for group, options in files.items():
        for option, path in options.items():
            yield group, option, path
