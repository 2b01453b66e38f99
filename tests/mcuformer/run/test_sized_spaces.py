"""Every offered board refuses 20 to 80 % of its space; a command takes the space of its board."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.space_search.quality import sample_space
from mcuformer.device import BudgetConfig, Device
from mcuformer.run.presets import conf_dir, load
from mcuformer.run.sized_spaces import LARGER, OFFERS, Offer, default_space
from mcuformer.seed import stream
from mcuformer.space import SearchSpace
from oplib.target.target import Target

SAMPLES = {"s": 12, "image_folder_8m": 20}  # of others 60; planning one of these takes 0.5 s
PHOTOGRAPHS = ("image_folder", "timm")
BOARD = """
name: mine
core: cortex-m4
clock_hz: 100000000
regions:
  - {name: flash, kind: flash, origin: 0x08000000, size_bytes: SIZE}
  - {name: sram, kind: sram, origin: 0x20000000, size_bytes: 131072}
code_region: flash
arena_region: sram
data_region: sram
stack_reserve_bytes: 1024
"""


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.space}-{offer.memory_model}")
def test_memory_limits_every_offered_pair_and_leaves_a_choice(offer: Offer) -> None:
    space = load("space", offer.space, SearchSpace, **(offer.sizes or {}))
    subnets = sample_space(space, SAMPLES.get(offer.space, 60), stream(0, "admission"))
    for name in offer.devices:
        budget = BudgetConfig(memory_model=offer.memory_model)
        target = Target(load("device", name, Device), budget)
        admitted = sum(map(target.admits, subnets))
        assert 0.2 <= 1 - admitted / len(subnets) <= 0.8, name


def test_every_default_is_an_offer_or_known_not_to_be() -> None:
    """Small images do not fill 16 MB of flash; photographs exceed the smallest memory."""
    devices = [path.stem for path in (conf_dir() / "device").glob("*.yaml")]
    offered = {(offer.space, device) for offer in OFFERS for device in offer.devices}
    others = {
        (data, device)
        for data in LARGER
        for device in devices
        if (like(default_space(data, device, {})), device) not in offered
    }
    assert others == {
        *((data, "stm32f746_qspi") for data in LARGER if data not in PHOTOGRAPHS),
        *((data, "stm32f100") for data in PHOTOGRAPHS),
    }


def like(space: str) -> str:
    """Return the offered space that a preset is another name of."""
    same = {"npz": "digits", "mnist": "fashion_mnist", "timm": "image_folder"}
    return same.get(space, space)


@pytest.mark.parametrize(
    ("size", "space"), [(2**20 - 4, "digits"), (2**20, "digits_1m"), (-1, "digits")]
)
def test_a_board_of_ones_own_takes_the_space_of_its_flash(
    tmp_path: Path, size: int, space: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BOARD.replace("SIZE", str(size)))
    assert default_space("digits", "user_0_mine", {"user_0_mine": path}) == space


def test_without_a_known_data_set_or_board_nothing_is_chosen() -> None:
    assert default_space("user_0_mine", "stm32f746", {}) == "user_0_mine"
    assert default_space("digits", "none", {}) == "digits"
