"""Input of Hydra's composition: presets, each completed with its model's defaults.

Every field of a command's configuration that holds a model is a group. The group has the field's
name, unless the primary configuration assigns another one (``recipe@train``). Its options are the
files of ``conf/<group>/`` and those that its models offer without a file: a member of a union, by
its tag (``sampling=sandwich``), a model without required keys (``forms=default``), and null
(``device=none``).
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
ANY_PACKAGE = re.compile(r"^\s*#\s*@package\b", re.MULTILINE)
HYDRAS_KEYS = ("hydra", "_target_")  # they would configure Hydra, or name a function to call
ValueT = TypeVar("ValueT", bound=Value)
Content = dict[str, Any]
UserFiles = Mapping[str, Mapping[str, Path]]


def conf_dir() -> Path:
    """Return the directory of the shipped configuration, in the wheel or in the checkout.

    Raises:
        ConfigError: the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "base.yaml").is_file():
            return candidate
    raise ConfigError("the shipped configuration is missing; reinstall mcuformer", where=package)


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
    return model.parse(read_preset(path, group) | values, where=str(path))


def read_yaml(path: Path) -> Content:
    """Return a file's keys and values, with interpolations unresolved.

    Raises:
        ConfigError: the file cannot be read, or is not a mapping.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        config = OmegaConf.load(path)
    except RecursionError as error:
        raise ConfigError("not readable: a value contains itself", where=path) from error
    except (YAMLError, OSError, UnicodeDecodeError, OmegaConfBaseException) as error:
        reason = str(error).partition("\n    full_key")[0]
        raise ConfigError(f"not readable: {reason}", where=path) from error
    if not isinstance(config, DictConfig):
        raise ConfigError("not a mapping of keys to values", where=path)
    content: Any = OmegaConf.to_container(config)
    return dict(content)


def read_preset(path: Path, group: str, derived: tuple[Path, ...] = ()) -> Content:
    """Return a preset merged over its bases, the presets that its ``defaults`` list names.

    Args:
        path: file of the preset.
        group: group whose folder is searched for bases, after the preset's own folder.
        derived: files of the presets that build on this one.

    Raises:
        ConfigError: a base does not exist, or is the preset itself.
    """
    own = read_yaml(path)
    bases = own.pop("defaults", [SELF])
    layers = []
    for base in bases if SELF in bases else [SELF, *bases]:
        if base == SELF:
            layers.append(own)
            continue
        candidates = [folder / f"{base}.yaml" for folder in (path.parent, conf_dir() / group)]
        files = [file for file in candidates if file.is_file() and file not in (path, *derived)]
        if not files:
            raise ConfigError(f"no such other preset in group {group}", where=path, got=base)
        layers.append(read_preset(files[0], group, (path, *derived)))
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
        for group, option, path in _shipped():
            target = Path(folder, group, f"{option}.yaml")
            if group in infos and PACKAGE.match(path.read_text()) is None:
                _write(target, completed(infos[group], read_preset(path, group)))
            else:
                _copy(path, target)
        for group, option, path in _given(files):
            refuse_hydra(path, group if group in infos else None)
            target = Path(folder, group, f"{option}.yaml")
            if group in infos:
                _write(target, completed(infos[group], read_preset(path, group)))
            else:
                _write(target, read_yaml(path), GLOBAL)
        yield folder


def completed(info: FieldInfo, content: Content) -> Content:
    """Return a preset with the defaults of the field's model under it, where it names one."""
    model = member(info.annotation, content)
    return content if model is None else complete(model, content)


def refuse_hydra(path: Path, group: str | None) -> None:
    """Refuse a user's file that would reach Hydra's own configuration, which can run commands.

    Args:
        path: the user's file.
        group: the group that it is an option of; None where its keys are those of the command.

    Raises:
        ConfigError: it has a package header, or a key of Hydra's.
    """
    if ANY_PACKAGE.search(path.read_text(errors="replace")):
        raise ConfigError("not allowed in a file of yours", where=path, got="# @package")
    keys = (*HYDRAS_KEYS, *(() if group else ("defaults",)))
    for key in _keys(read_yaml(path)):
        if key in keys:
            raise ConfigError("not allowed in a file of yours", where=path, got=key)


def _keys(content: Any) -> Iterator[str]:
    """Yield every key in nested containers."""
    values = content.values() if isinstance(content, dict) else content
    if isinstance(content, dict):
        yield from map(str, content)
    if isinstance(content, dict | list):
        for value in values:
            yield from _keys(value)


def _write(target: Path, content: Content, head: str = "") -> None:
    """Write a configuration as JSON, which is valid YAML and faster to write."""
    target.parent.mkdir(exist_ok=True)
    target.write_text(head + json.dumps(content))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes())


def _shipped() -> Iterator[tuple[str, str, Path]]:
    """Yield (group, option, file) of the presets in conf/."""
    for path in sorted(conf_dir().glob("*/*.yaml")):
        yield path.parent.name, path.stem, path


def _given(files: UserFiles) -> Iterator[tuple[str, str, Path]]:
    """Yield (group, option, file) of the user's presets."""
    for group, options in files.items():
        for option, path in options.items():
            yield group, option, path
