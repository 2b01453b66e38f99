"""Inspection of pydantic models: keys, nested models, and defaults as plain containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

MISSING = "???"  # OmegaConf's marker of a required key without a value
Model = type[BaseModel]


def members(annotation: Any) -> list[Model]:
    """Return the models among a field's types: none, one, or the members of a union."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [model for part in get_args(annotation) for model in members(part)]
    return []


def nullable(annotation: Any) -> bool:
    """Return whether a field's value may be null."""
    return get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation)


def tags(model: Model) -> dict[str, str]:
    """Return the fields with a single possible value; they distinguish the members of a union."""
    literals = {
        name: get_args(field.annotation)
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is Literal
    }
    return {name: values[0] for name, values in literals.items() if len(values) == 1}


def member(annotation: Any, content: Mapping[str, Any]) -> Model | None:
    """Return the model of an annotation that fits `content`, or None if it is ambiguous."""
    found = members(annotation)
    if len(found) > 1:
        found = [
            model
            for model in found
            if tags(model) and all(content.get(name) == tag for name, tag in tags(model).items())
        ]
    return found[0] if len(found) == 1 else None


def complete(model: Model, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `content` completed with the model's defaults, in the order of the model's fields.

    Args:
        model: type of the content.
        content: plain containers; interpolations and unknown keys are kept.

    Returns:
        A value for every key of the model, :data:`MISSING` for required keys that have none.
    """
    result: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name in content:
            value = content[name]
        elif not field.is_required():
            value = to_jsonable_python(field.get_default(call_default_factory=True))
        else:
            value = {} if member(field.annotation, {}) else MISSING
        nested = member(field.annotation, value) if isinstance(value, dict) else None
        result[name] = value if nested is None else complete(nested, value)
    return result | {key: value for key, value in content.items() if key not in result}


def unknown_key(model: Model, path: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the first unknown key on a dotted path and the known keys at its level, or None.

    Args:
        model: type of the root.
        path: keys from the root; in a union, the keys of every member are known. A list or a number
            has no keys inside, a mapping has any.
    """
    models = [model]
    for number, key in enumerate(path):
        fields = [field for each in models for field in each.model_fields.items()]
        if key not in dict(fields):
            return ".".join(path[: number + 1]), list(dict(fields))
        found = [field.annotation for name, field in fields if name == key]
        models = [each for annotation in found for each in members(annotation)]
        if any(get_origin(annotation) is dict for annotation in found):
            break
    return None


def fields_at(model: Model, path: Sequence[str]) -> list[Any]:
    """Return the annotations of a field on a known dotted path, one per union member that has it.

    Args:
        model: type of the root.
        path: keys from the root.
    """
    models, found = [model], []
    for key in path:
        found = [m.model_fields[key].annotation for m in models if key in m.model_fields]
        models = [each for annotation in found for each in members(annotation)]
    return found


def texts(annotation: Any) -> bool:
    """Return whether a field's value can only be a text, of any content, or null."""
    if get_origin(annotation) is Annotated:
        return texts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return all(part is type(None) or texts(part) for part in get_args(annotation))
    return annotation is str


def stray_key(model: Model, content: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """Return the first unknown key in `content` and the known keys at its level, or None."""
    for key, value in content.items():
        if key not in model.model_fields:
            return key, list(model.model_fields)
        annotation = model.model_fields[key].annotation
        nested = member(annotation, value) if isinstance(value, dict) else None
        found = stray_key(nested, value) if nested else None
        if found is not None:
            return f"{key}.{found[0]}", found[1]
    return None


def keys_at(model: Model, location: Sequence[int | str]) -> list[str]:
    """Return the known keys at the level of the last part of a location.

    Args:
        model: type of the root.
        location: pydantic's location: keys, indices, and tags or class names of union members.
    """
    models = [model]
    for part in location[:-1]:
        annotations = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if annotations:
            models = [each for annotation in annotations for each in _anywhere(annotation)]
        elif isinstance(part, str):
            models = [m for m in models if part == m.__name__ or part in tags(m).values()]
    return [name for each in models for name in each.model_fields]


def _anywhere(annotation: Any) -> Iterator[Model]:
    """Yield the models in an annotation, including those of a container's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _anywhere(part)
