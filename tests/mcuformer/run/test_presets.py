"""Models hold the defaults, presets only what differs, and a command line knows every key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from evolve.finetune import FinetuneConfig
from evolve.qat import QatConfig
from evolve.search import SearchConfig
from evolve.space_search.trend import TrendConfig
from evolve.supernet_landscape import EvolveSpaceConfig
from mcuformer.chain import ChainConfig
from mcuformer.data.dataset import DataConfig
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import ConfigError
from mcuformer.fields import complete, member
from mcuformer.run import entry
from mcuformer.run.presets import (
    SELF,
    conf_dir,
    initial_option,
    load,
    own_options,
    read_preset,
    read_yaml,
)
from mcuformer.space import SearchSpace
from mcuformer.value import Value
from oplib.export_config import ExportConfig
from oplib.forms import Forms
from oplib.serve import ServeConfig
from supernet.recipe import Recipe
from supernet.train import TrainConfig

COMMANDS: dict[str, type[Value]] = {
    "evolve_finetune": FinetuneConfig,
    "evolve_qat": QatConfig,
    "evolve_search": SearchConfig,
    "evolve_space": EvolveSpaceConfig,
    "mcuformer": ChainConfig,
    "oplib_export": ExportConfig,
    "oplib_serve": ServeConfig,
    "supernet_train": TrainConfig,
}
MODELS: dict[str, type[Value]] = {
    "budget": BudgetConfig,
    "data": DataConfig,
    "device": Device,
    "forms": Forms,
    "recipe": Recipe,
    "space": SearchSpace,
}
UNIONS = {"evaluator": SearchConfig.model_fields["evaluator"].annotation}
OVERLAYS = {"experiment", "visit"}
PRESETS = [path for path in sorted(conf_dir().glob("*/*.yaml")) if path.parent.name not in OVERLAYS]
DATA = {"data.root": "x", "data.img_size": 240, "data.num_classes": 1000}
SMALL = {"digits": 8, "npz": 8, "mnist": 28, "fashion_mnist": 28, "cifar10": 32}
SIDES = SMALL | {f"{name}_1m": side for name, side in SMALL.items()} | {"cifar10_teacher": 32}
NEEDED = {
    "data/cifar10": {"data.root": "x"},
    "data/fashion_mnist": {"data.root": "x"},
    "data/mnist": {"data.root": "x"},
    # root does not exist here, so that its files tell nothing
    "data/npz": DATA | {"data.img_size": 8},
    "data/image_folder": DATA,
    "data/timm": DATA | {"data.timm_name": "torch/cifar100"},
    "forms/paper": {"space.patch_size": [4]},
    "recipe/distilled": {
        "recipe.distillation.teacher.model": "resnet18",
        "recipe.distillation.teacher.checkpoint": "x",
    },
}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def parsed(*arguments: str, command: str = "supernet_train") -> Any:
    """Return the configuration that a command composes from a valid command line."""
    found: list[Value] = []
    assert entry.run(command, COMMANDS[command], found.append, arguments) == 0
    return found[0]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that `supernet.train` prints for an invalid command line."""
    assert entry.run("supernet_train", TrainConfig, lambda config: None, arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err.strip()


def leaves(content: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)


def value_at(content: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        content = content.get(key) if content is not None else None
    return content


def completed(content: dict[str, Any], group: str) -> dict[str, Any] | None:
    """Return a preset with its model's defaults; None if it does not say which model it is of."""
    model = MODELS[group] if group in MODELS else member(UNIONS[group], content)
    return None if model is None else complete(model, content)


def redundant(path: Path, group: str, tmp_path: Path) -> list[str]:
    """Return the keys of a preset that can be removed without effect."""
    whole, found = completed(read_preset(path, group), group), []
    for keys in leaves({k: v for k, v in read_yaml(path).items() if k != "defaults"}):
        content = read_yaml(path)
        del value_at(content, keys[:-1])[keys[-1]]
        shorter = tmp_path / "shorter.yaml"
        shorter.write_text(yaml.safe_dump(content))
        if completed(read_preset(shorter, group), group) == whole:
            found.append(".".join(keys))
    return found


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_line_knows_every_field(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert entry.run(command, COMMANDS[command], lambda config: None, ["--cfg", "job"]) == 0
    printed = OmegaConf.to_container(OmegaConf.create(capsys.readouterr().out), resolve=True)
    # img_size may be one number, and a region may leave out the figures of its time
    shorter = {key: printed[key] for key in ("space", "device") if key in printed}
    assert printed == COMMANDS[command].parse(printed).dump() | shorter
    assert printed.keys() == COMMANDS[command].model_fields.keys()
    if "space" in printed:
        assert printed["space"].keys() == SearchSpace.model_fields.keys()


@pytest.mark.parametrize("path", PRESETS, ids=name_of)
def test_every_preset_is_valid(path: Path) -> None:
    group = path.parent.name
    assert group in MODELS or group in UNIONS
    choice = {group: path.stem}
    if group == "space":
        size = SIDES.get(path.stem, 240)
        choice |= {"data": "image_folder"} | DATA | {"data.img_size": size}
    settings = choice | NEEDED.get(name_of(path), {})
    command = "evolve_search" if group in UNIONS else "supernet_train"
    config = parsed(*(f"{key}={value}" for key, value in settings.items()), command=command)
    assert getattr(config, group) is not None


@pytest.mark.parametrize("path", PRESETS, ids=name_of)
def test_presets_say_what_differs_from_the_models(path: Path, tmp_path: Path) -> None:
    assert redundant(path, path.parent.name, tmp_path) == []


def test_a_repeated_default_is_found(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("{epochs: 60, batch_size: 64, lr: 3.0e-3, optimizer: adamw, mixup: 0.1}")
    assert redundant(preset, "recipe", tmp_path) == ["optimizer"]
    preset.write_text("{defaults: [qat, _self_], weight_decay: 0.05, lr: 2.0e-4}")  # as conf/ may
    assert redundant(preset, "recipe", tmp_path) == ["lr"]


def test_primary_configurations_and_overlays_say_what_differs() -> None:
    for name, model in COMMANDS.items():
        defaults = complete(model, {})
        own = {k: v for k, v in read_yaml(conf_dir() / f"{name}.yaml").items() if k != "defaults"}
        assert [key for key in own if defaults[key] == own[key]] == []
    for path in conf_dir().glob("experiment/*.yaml"):
        content = read_yaml(path)
        content.pop("hydra", None)  # what it sweeps
        line = [override(chosen) for chosen in content.pop("defaults", []) if chosen != SELF]
        line += ["++data.root=FOLDER", "++data.img_size=8", "++data.num_classes=10"]
        composed = entry.compose("mcuformer", line, ChainConfig)
        assert [k for k in leaves(content) if value_at(content, k) == value_at(composed, k)] == []
    for path in conf_dir().glob("visit/*.yaml"):
        for key, value in read_yaml(path).items():
            assert getattr(TrendConfig(), key) != value


def override(entry: str | dict[str, str]) -> str:
    """Return an entry of an experiment's defaults list as an override of the command line."""
    if isinstance(entry, str):
        return f"+experiment={entry}"
    ((group, name),) = entry.items()
    return f"{group.removeprefix('override /')}={name}"


def test_published_strategies_have_the_published_sizes() -> None:
    """Evaluations, and the first population or the random start."""
    published = {
        "evolution": (1000, 50),  # MCUFormer
        "aging": (2000, 100),  # muNAS
        "mobo": (800, 15),  # muNAS' Bayesian optimisation
        "nsga2": (25_000, 100),  # Deb et al., 2002
        "tinynas": (3000, 100),  # MCUNet
    }
    sizes = {}
    for path in conf_dir().glob("strategy/published/*.yaml"):
        found: list[SearchConfig] = []
        line = [f"strategy=published/{path.stem}"]
        assert entry.run("evolve_search", SearchConfig, found.append, line) == 0
        strategy = found[0].strategy
        assert strategy.name == path.stem
        first = {"mobo": "initial", "tinynas": "evolution"}.get(path.stem, "population")
        start = getattr(strategy, first)
        sizes[path.stem] = strategy.evaluations, getattr(start, "population", start)
    assert sizes == published


def test_an_experiment_chooses_options(tmp_path: Path) -> None:
    chosen, file = {}, tmp_path / "set.npz"  # the only one that is looked into
    images, labels = np.zeros((10, 32, 32), np.uint8), np.arange(10)
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    for path in conf_dir().glob("experiment/*.yaml"):
        if path.stem.startswith("ablation_"):  # tests/tools/test_ablations.py
            continue
        sizes = ["++data.img_size=32", "++data.num_classes=10"]
        line = [f"+experiment={path.stem}", f"++data.root={file}", *sizes]
        composed = entry.compose("mcuformer", line, ChainConfig)
        if composed["data"]["format"] == "digits":
            composed["data"]["root"] = None  # they are no file
        config = ChainConfig.parse(composed)
        parts = config.space_search, config.strategy, config.evaluator
        chosen[path.stem] = tuple(part.name for part in parts)
    small = dict.fromkeys(
        (
            *("cifar10_300k", "cifar10_300k_accelerator", "cifar10_500k", "cifar10_1m"),
            *("cifar10_ic", "fashion_mnist_64k", "mnist_small"),
        ),
        ("largest", "evolution", "inherited"),
    )
    of_the_paper = dict.fromkeys(
        ("imagenet_f427", "imagenet_f746", "imagenet_h743"), ("trend", "evolution", "predictor")
    )
    photos = dict.fromkeys(("photos", "flowers_f746"), ("tinynas", "evolution", "predictor"))
    assert chosen == small | of_the_paper | photos | {
        "speech_digits": ("largest", "evolution", "inherited"),
        "demo": ("trend", "evolution", "predictor"),
        "digits": ("trend", "evolution", "predictor"),
        "mcuformer": ("trend_paper", "evolution", "inherited"),
        "mcunet": ("tinynas", "tinynas", "inherited"),
        "munas": ("tinynas", "aging", "scratch"),
        "sparse": ("tinynas", "mobo", "scratch"),
    }


def test_options_without_a_file() -> None:
    config = parsed("sampling=sandwich", "sampling.num_random=3", "forms=default", "device=none")
    assert (config.sampling.name, config.sampling.num_random) == ("sandwich", 3)
    assert config.forms == Forms()
    assert config.device is None
    assert parsed("budget=default", "budget.sram_bytes=4096").budget.sram_bytes == 4096
    found: list[SearchConfig] = []
    line = ["strategy=evolution", "strategy.population=60"]
    assert entry.run("evolve_search", SearchConfig, found.append, line) == 0
    assert (found[0].strategy.population, found[0].strategy.generations) == (60, 20)


def test_a_fields_own_default_is_its_option() -> None:
    class Command(Value):
        forms: Forms = Forms(gelu="sigmoid")

    info = Command.model_fields["forms"]
    assert own_options(info)[initial_option(info)] == Command().dump()["forms"]


def test_hydras_own_groups_and_keys_are_left_to_it() -> None:
    line = ["hydra/launcher=basic", "hydra.verbose=false"]
    assert parsed(*line) == parsed()


def test_a_group_may_serve_several_fields() -> None:
    found: list[ChainConfig] = []
    line = ["recipe@train=qat", "train.mixup=0.5", "finetune.lr=0.5"]
    assert entry.run("mcuformer", ChainConfig, found.append, line) == 0
    assert (found[0].train.epochs, found[0].train.mixup, found[0].train.lr) == (5, 0.5, 2e-4)
    assert (found[0].finetune.epochs, found[0].finetune.mixup, found[0].finetune.lr) == (
        60,
        0.8,
        0.5,
    )


def test_keys_inside_of_what_is_null() -> None:
    config = parsed("recipe.distillation.teacher=largest", "recipe.distillation.weight=0.25")
    assert config.recipe.distillation is not None
    assert config.recipe.distillation.dump() == {
        "teacher": "largest",
        "weight": 0.25,
        "temperature": 1.0,
    }


def test_files_of_the_user_say_what_differs(tmp_path: Path) -> None:
    recipe, space = tmp_path / "qat.yaml", tmp_path / "space.yaml"
    recipe.write_text("{epochs: 7, batch_size: 64, lr: 2e-4, distillation: {teacher: largest}}")
    space.write_text(
        "img_size: ${data.img_size}\nin_chans: 1\nnum_classes: 10\nrank_ratio: [0.5]\n"
        "patch_size: [2]\nembed_dim: [32]\ndepth: [2]\nnum_heads: [2]\nmlp_ratio: [2]\n"
    )
    line = [f"recipe={recipe}", "recipe.distillation.temperature=2", f"space={space}"]
    config = parsed(*line, "recipe.hflip=true")
    least = Recipe(epochs=7, batch_size=64, lr=2e-4)
    assert config.recipe.dump() == least.dump() | {
        "hflip": True,
        "distillation": {"teacher": "largest", "weight": 0.5, "temperature": 2.0},
    }
    assert (config.space.depth, config.space.img_size, config.space.head_dim) == ((2,), (8,), 64)


def test_a_sweep_over_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("{epochs: 7, batch_size: 1, lr: 1e-3}")
    found: list[TrainConfig] = []
    recipes = f"recipe={tmp_path}/mine.yaml,{tmp_path}/mine.yaml"
    line = ["sampling=uniform,budget_aware", recipes, "recipe.mixup=0.5", "--multirun", "seed=3"]
    assert entry.run("supernet_train", TrainConfig, found.append, line) == 0
    assert [config.sampling.name for config in found] == ["uniform"] * 2 + ["budget_aware"] * 2
    assert {(c.recipe.epochs, c.recipe.mixup, c.recipe.lr, c.seed) for c in found} == {
        (7, 0.5, 1e-3, 3)
    }


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        (
            "recipe.weigth_decay=0.1",
            "weigth_decay: unknown key; did you mean 'weight_decay'?",
        ),
        (
            "+recipe.weigth_decay=0",
            "weigth_decay: unknown key; did you mean 'weight_decay'?",
        ),
        ("devise=stm32f100", "devise: unknown key; did you mean 'device'?"),
        ("sampling.levles=3", "sampling.levles: unknown key; did you mean 'levels'?"),
        ("device=stm32f74", "did you mean 'stm32f746'?"),
        ("sampling=sandwhich", "did you mean 'sandwich'?"),
        ("recipe.precision=bf1", "(got 'bf1'); did you mean 'bf16'?"),
        ("data.format=didgits", "(got 'didgits'); did you mean 'digits'?"),
        ("sampling.name=sandwhich", "did you mean 'sandwich'?"),
        ("device=null", "device: no option of this name (got null, expected none)"),
        ("--cfg=jo", "argument --cfg/-c: invalid choice: 'jo' (choose from 'job', 'hydra', 'all')"),
    ],
)
def test_the_nearest_name_is_told(
    capsys: pytest.CaptureFixture[str], argument: str, line: str
) -> None:
    assert refused(capsys, argument).endswith(line)


def test_keys_of_list_items_are_told() -> None:
    misspelt = {"name": "ram", "kind": "sram", "origin": 0, "size_byte": 1}
    line = r"regions\.0\.size_byte: unknown key; did you mean 'size_bytes'\?; and 4 more faults$"
    with pytest.raises(ConfigError, match=line):
        load("device", "stm32f405", Device, regions=[misspelt, misspelt])
