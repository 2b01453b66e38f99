"""Input of Hydra's composition: presets, each completed with its model's defaults.

Every field of a command's configuration that holds a model is a group. The group has the field's
name, unless the primary configuration assigns another one (``recipe@train``). Its options are the
files of ``conf/<group>/``, those of a folder in it too (``strategy=published/aging``), and those
that its models offer without a file: a member of a union, by its tag (``sampling=sandwich``), a
model without required keys (``forms=default``), and null (``device=none``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from mcuformer.errors import ConfigError, InternalError
from mcuformer.fields import MISSING, Model, complete, member, members, nullable, tags
from mcuformer.run.scratch import scratch
from mcuformer.run.user_file import Content, read_user_yaml
from mcuformer.value import Value

SELF, NOTHING, DEFAULT = "_self_", "none", "default"
GLOBAL = "# @package _global_\n"
PACKAGE = re.compile(r"\A#\s*@package\s+(\S+)")
ValueT = TypeVar("ValueT", bound=Value)
UserFiles = Mapping[str, Mapping[str, Path]]


def conf_dir() -> Path:
    """Return the directory of the shipped configuration."""
    return shipped_folder("conf", "base.yaml")


def shipped_folder(name: str, file: str) -> Path:
    """Return a folder that is shipped, in the wheel or in the checkout.

    Args:
        name: name of the folder.
        file: name of a file in it.

    Raises:
        ConfigError: the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / name, package.parent / name):
        if (candidate / file).is_file():
            return candidate
    raise ConfigError(f"the shipped {name} is missing; reinstall mcuformer", where=package)


def load(group: str, name: str, model: type[ValueT], **values: Any) -> ValueT:
    """Return a shipped preset as a value.

    Args:
        group: name of a folder in conf/.
        name: name of a file in that folder, without its suffix.
        model: type of the value.
        values: values that replace the preset's, for instance its interpolations.

    Raises:
        ConfigError: the preset does not exist, or is not valid for `model`.
    """
    path = conf_dir() / group / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError("no such preset", where=path)
    return model.parse(read_preset(path, group) | values, where=str(path))


def read_yaml(path: Path) -> Content:
    """Return the keys and values of a shipped file, with interpolations unresolved."""
    return deepcopy(_parsed(path.read_text()))


@cache
def _parsed(text: str) -> Content:
    from omegaconf import OmegaConf

    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    return dict(content)


def read_preset(path: Path, group: str) -> Content:
    """Return a shipped preset merged over its bases, the presets that its ``defaults`` list names.

    Args:
        path: file of the preset.
        group: group of its bases.
    """
    own = read_yaml(path)
    layers = [
        own if base == SELF else read_preset(conf_dir() / group / f"{base}.yaml", group)
        for base in own.pop("defaults", [SELF])
    ]
    return reduce(merged, layers)


def merged(base: Content, override: Content) -> Content:
    """Return `base` with the values of `override`, merged recursively.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    result = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


def own_options(info: FieldInfo) -> dict[str, Content]:
    """Return the options that a field's models offer without a file, by name."""
    options = {}
    for model in members(info.annotation):
        content = complete(model, tags(model))
        if not _lacks_values(content):
            options[_option(model)] = content
    default = info.get_default(call_default_factory=True)
    if isinstance(default, Value):  # the field's default may differ from its model's
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
    """Return the initial option of a field for which the primary configuration names none.

    Raises:
        InternalError: a required field has several models.
    """
    models = members(info.annotation)
    if not info.is_required():
        default = info.get_default(call_default_factory=True)
        return NOTHING if default is None else _option(type(default))
    if len(models) != 1:
        raise InternalError("several options and no choice", got=list(own_options(info)))
    return _option(models[0])


def option_names(group: str, info: FieldInfo) -> list[str]:
    """Return the names of all options of a field: shipped files, and what its models offer."""
    files = [option for place, option, _ in _shipped() if place == group]
    names = [*files, *own_options(info), *([NOTHING] if nullable(info.annotation) else [])]
    return list(dict.fromkeys(names))


def preset_content(group: str, option: str, info: FieldInfo) -> Content:
    """Return the keys of an option; those of the model alone where the option is no file."""
    path = conf_dir() / group / f"{option}.yaml"
    content = read_preset(path, group) if path.is_file() else own_options(info).get(option, {})
    model = member(info.annotation, content) or members(info.annotation)[0]
    return complete(model, content)


def placed_groups(defaults: Sequence[Any]) -> dict[str, str]:
    """Return the first group that a defaults list assigns to each key.

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

    The defaults list gains an option for every such field that the file does not assign; all other
    fields gain the defaults of the model.
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
    """Yield a folder for Hydra with a command's primary configuration and all groups' options.

    Args:
        name: name of the primary configuration.
        model: type of the command's configuration.
        files: files of the user's own options, by group and name.

    Raises:
        ConfigError: a file cannot be read, or holds more than plain values.
        OSError: the temporary directory is full or not writable.
    """
    with scratch("conf") as folder:
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
        for group, option, path in _shipped():
            target = Path(folder, group, f"{option}.yaml")
            if group in infos and PACKAGE.match(path.read_text()) is None:
                _write(target, completed(infos[group], read_preset(path, group)))
            else:
                _copy(path, target)
        for group, option, path in _given(files):
            target, content = Path(folder, group, f"{option}.yaml"), read_user_yaml(path)
            if group in infos:
                _write(target, completed(infos[group], content))
            else:
                _write(target, content, GLOBAL)
        yield str(folder)


def completed(info: FieldInfo, content: Content) -> Content:
    """Return a preset with the defaults of the field's model under it, where it names one."""
    model = member(info.annotation, content)
    return content if model is None else complete(model, content)


def _write(target: Path, content: Content, head: str = "") -> None:
    """Write a configuration as JSON, which is valid YAML and faster to write."""
    target.parent.mkdir(exist_ok=True, parents=True)
    target.write_text(head + json.dumps(content))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True, parents=True)
    target.write_bytes(source.read_bytes())


def _shipped() -> Iterator[tuple[str, str, Path]]:
    """Yield (group, option, file) of the presets in conf/."""
    for path in sorted(conf_dir().glob("*/**/*.yaml")):
        group, *option = path.relative_to(conf_dir()).with_suffix("").parts
        yield group, "/".join(option), path


def _given(files: UserFiles) -> Iterator[tuple[str, str, Path]]:
    """Yield (group, option, file) of the user's presets."""
    for group, options in files.items():
        for option, path in options.items():
            yield group, option, path
