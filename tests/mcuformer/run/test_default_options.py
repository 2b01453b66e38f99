"""A data set that stands for an experiment takes that experiment's options, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from evolve.space import SPACE
from mcuformer.chain import RECIPES, ChainConfig
from mcuformer.run.command import Command
from mcuformer.run.default_options import (
    EXPERIMENTS,
    default_option,
    options_of,
    patch_size,
    resolved,
)
from mcuformer.run.entry import compose
from mcuformer.run.presets import conf_dir, read_yaml
from supernet.train import TRAIN

PLACES = ("train", "finetune", "space_search", "evaluator")


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """A folder of two classes whose pictures are 300 x 130 pixels, on the command line."""
    for name in ("daisy", "rose"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (300, 130)).save(tmp_path / name / f"{number}.png")
    return ["data=image_folder", f"data.root={tmp_path}", "device=stm32f746"]


def composed(*arguments: str) -> dict[str, Any]:
    return compose("mcuformer", arguments, ChainConfig)


def test_a_folder_of_photographs_takes_the_photos_options(photos: list[str]) -> None:
    """Sizes, classes, space, recipes, space search and evaluator follow from the folder."""
    found = composed(*photos)
    assert (found["data"]["num_classes"], found["data"]["img_size"]) == (2, 96)
    assert found["space"]["patch_size"] == [12]  # 8 x 8 tokens
    assert found["finetune"]["resized_crop_scale"] is not None
    assert found["space_search"]["name"] == "tinynas"
    assert found == composed("+experiment=photos", *photos)
    digits = composed()
    for place in PLACES:
        assert found[place] != digits[place], place


def test_the_command_line_comes_first(photos: list[str]) -> None:
    changed = composed(*photos, "recipe@finetune=finetune", "evaluator=inherited")
    assert changed["finetune"] == composed()["finetune"]
    assert changed["evaluator"]["name"] == "inherited"
    assert composed(*photos, "data.img_size=64")["space"]["patch_size"] == [8]


@pytest.mark.parametrize("command", [SPACE, TRAIN, SEARCH, FINETUNE], ids=lambda c: c.name)
def test_a_stage_alone_takes_what_it_takes_in_the_chain(
    photos: list[str], command: Command[Any]
) -> None:
    chain = composed(*photos)
    alone = compose(command.name.replace(".", "_"), photos, command.config)
    chain["recipe"] = chain.get(RECIPES.get(command, ""))
    for name in ("recipe", "space", "space_search", "evaluator", "strategy"):
        if name in alone:
            assert alone[name] == chain[name], name


def test_experiments_of_data_sets_choose_options_and_set_no_values() -> None:
    """A value beside the choices would hold with +experiment only."""
    for data, experiment in EXPERIMENTS.items():
        assert (conf_dir() / "data" / f"{data}.yaml").exists()
        assert read_yaml(conf_dir() / "experiment" / f"{experiment}.yaml").keys() == {"defaults"}
        assert options_of(experiment).keys() == set(PLACES)


def test_another_data_set_takes_the_commands_own_option() -> None:
    assert default_option("train", "supernet", "digits") == "supernet"
    assert default_option("sampling", "uniform", "image_folder") == "uniform"
    assert default_option("train", "supernet", "image_folder") == "photos_supernet"
    choice = "${default_option:finetune,finetune,${data}}"
    assert resolved(choice, {"data": "image_folder"}) == "photos"


@pytest.mark.parametrize(("side", "patch"), [(8, 4), (32, 4), (64, 8), (96, 12), (224, 12)])
def test_patches_make_8_x_8_tokens_where_a_tokenizer_can(side: int, patch: int) -> None:
    assert patch_size(side) == patch
    assert patch_size(None) is None
