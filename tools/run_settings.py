"""Settings of runs, in the chain's terms, and what differs between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mcuformer.chain import CHAIN, RECIPES
from mcuformer.run.artifact import RunDir

Settings = dict[str, Any]
OF_NO_CHOICE = ("seed", "programs")  # the seed is no setting that is compared; programs are found
ABSENT = "-"  # a setting that a run does not have, for instance another selector's


def settings_of(run: RunDir) -> Settings:
    """Return the settings of a run's stages, by the chain's names: `train` for `recipe` of a visit.

    A setting that two stages have differently, because they were run one by one, has the later one
    under a name of its own, ``NAME of STAGE``.

    Raises:
        McuformerError: a record is damaged.
    """
    names = {command.name: RECIPES[command] for command in CHAIN if command in RECIPES}
    order = [command.name for command in CHAIN]
    records = {record.stage: record for record in run.records()}
    result: Settings = {}
    for stage in sorted(records, key=lambda name: order.index(name) if name in order else -1):
        for key, value in records[stage].config.items():
            name = names.get(stage, key) if key == "recipe" else key
            if name in OF_NO_CHOICE:
                continue
            equal = result.setdefault(name, value) == value
            if not equal:
                result[f"{name} of {stage}"] = value
    return result


def differences(runs: Sequence[Settings]) -> dict[str, list[str]]:
    """Return the settings in which runs differ: dotted path, and the value of each run as text.

    Of presets with a name (a device, a selector) the name differs; what differs inside is told only
    of runs with the same name.

    >>> differences([{"k": {"name": "a", "n": 1}, "x": 1}, {"k": {"name": "b"}, "x": 1}])
    {'k': ['a', 'b']}
    >>> differences([{"x": {"y": 1.0}}, {"x": {"y": 2.5}}, {"x": {"y": 1.0}}])
    {'x.y': ['1.0', '2.5', '1.0']}
    >>> differences([{"soft": None}, {"soft": {"macs": 1}}])
    {'soft': ['null', '{"macs": 1}']}
    """
    return _differences("", list(runs))


def _differences(path: str, values: list[Any]) -> dict[str, list[str]]:
    """Return the differences below a path; a run without the path has :data:`ABSENT`."""
    present = [value for value in values if value is not ABSENT]
    if all(value == present[0] for value in present):
        return {}
    if not all(isinstance(value, dict) for value in present):
        return {path: [_text(value) for value in values]}
    tags = [value.get("name") for value in present]
    found: dict[str, list[str]] = {}
    if len(set(tags)) > 1:
        found[path] = [_text(value) for value in values]
    for tag in dict.fromkeys(tags):
        own = [v if isinstance(v, dict) and v.get("name") == tag else {} for v in values]
        keys = dict.fromkeys(key for value in own for key in value if key != "name")
        for key in keys:
            inner = _differences(
                f"{path}.{key}" if path else key, [value.get(key, ABSENT) for value in own]
            )
            for name, texts in inner.items():
                known = found.setdefault(name, [ABSENT] * len(values))
                found[name] = [
                    new if old == ABSENT else old for old, new in zip(known, texts, strict=True)
                ]
    return found


def _text(value: Any) -> str:
    tag: Any = value.get("name") if isinstance(value, dict) else value
    return str(tag) if isinstance(tag, str) else json.dumps(value)


def named(key: str, names: Sequence[str]) -> bool:
    """Return whether a dotted path is one of `names`, or lies below or above one.

    >>> named("budget.soft.macs", ["budget"]), named("device", ["data"])
    (True, False)
    """
    return any(
        key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.") for name in names
    )
