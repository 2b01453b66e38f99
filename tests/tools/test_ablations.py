"""Every ablation is valid with the last values of its sweep, and the page of ablations names it."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from mcuformer.chain import ChainConfig
from mcuformer.run.entry import compose
from mcuformer.run.presets import conf_dir


@pytest.fixture
def ablations(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("ablations")


def last_values(name: str) -> list[str]:
    """Return overrides that give every swept key of an experiment its last value."""
    content = yaml.safe_load((conf_dir() / "experiment" / f"{name}.yaml").read_text())
    swept = content.get("hydra", {"sweeper": {"params": {}}})["sweeper"]["params"]
    parser = OverridesParser.create()
    last = []
    for key, values in swept.items():
        choices = list(parser.parse_override(f"{key}={values}").sweep_iterator())
        assert len(choices) > 1
        inner = choices[-1] if isinstance(choices[-1], dict) else {"": choices[-1]}
        for below, value in inner.items():
            path = f"{key.lstrip('+')}.{below}".rstrip(".")
            last.append(f"{path}={value if isinstance(value, str) else json.dumps(value)}")
    return last


def test_ablations_are_valid_and_named(ablations: ModuleType, root: Path) -> None:
    page = (root / "docs" / "ablations.md").read_text()
    found = ablations.ablations()
    assert len(found) == 10
    for ablation in found:
        one_line = ablation.runs[0] if len(ablation.runs) == 1 else f"{ablation.name}.yaml"
        assert one_line in page
        assert all(f"run_dir={ablation.arguments[0]}" in line for line in ablation.runs)
        files = re.findall(r"ablation_\w+", ablation.runs[0].partition("run_dir")[0])
        for name in files:
            data = ["data.root=."] if "FOLDER" in ablation.runs[0] else []
            line = [f"+experiment={name}", *last_values(name), *data]
            ChainConfig.parse(compose("mcuformer", line, ChainConfig))


def test_an_ablation_describes_itself(ablations: ModuleType) -> None:
    (space,) = (one for one in ablations.ablations() if one.name == "ablation_space")
    assert space.title == "MCUFormer's table 1, on digits"
    assert space.text.startswith("How the space is chosen, at equal training epochs. `random` ")
    assert space.time == "12 runs, about 20 minutes on one idle core (estimated)."
    assert [line.count("space_search=") for line in space.runs] == [0, 1, 1]
    assert ablations.read_ablation(conf_dir() / "experiment" / "demo.yaml") is None
