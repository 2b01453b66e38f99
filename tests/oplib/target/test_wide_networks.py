"""Networks wider than 511 features, or of more than 511 tokens: numpy = host C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.run.presets import load
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib.codegen.component import Component
from oplib.forms import Forms
from oplib.network.reference import run_float
from oplib.network.vit import float_model, random_weights
from oplib.plan.schedule import schedule
from oplib.quantize.lower import quantize
from oplib.target import board
from oplib.target.compare import compare
from oplib.target.firmware import write_firmware

LARGE_FLASH = 64 * 2**20


@pytest.fixture
def large_device(device: Callable[[str], Device]) -> Device:
    """Return the board with QSPI flash, with 64 MB of it."""
    chip = device("stm32f746_qspi")
    regions = tuple(
        region.model_copy(update={"size_bytes": LARGE_FLASH})
        if region.name == chip.weights_region
        else region
        for region in chip.regions
    )
    return Device.parse(chip.model_copy(update={"regions": regions}).dump())


def widest(space: SearchSpace, **change: object) -> SubnetConfig:
    """Return the space's widest block, once, as a network."""
    block = {
        "num_heads": max(space.num_heads),
        "head_dim": 64,
        "mlp_ratio": max(space.mlp_ratio),
    }
    subnet = {
        "img_size": max(space.img_size),
        "patch_size": max(space.patch_size),
        "in_chans": space.in_chans,
        "num_classes": space.num_classes,
        "embed_dim": max(space.embed_dim),
        "blocks": (block,),
    }
    return SubnetConfig.parse(subnet | change)


AUTOFORMER = {"class_token": True, "relative_position": 14, "norm_eps": 1e-5}
LONG = {
    "img_size": 32,
    "patch_size": 1,
    "embed_dim": 12,
    "num_classes": 10,
    "blocks": ({"num_heads": 2, "head_dim": 8, "mlp_ratio": 2.0},),
}
CASES = {
    "B": ({}, {}),
    "B, int16": (AUTOFORMER, {"residual": "int16"}),
    "1,024 tokens": (LONG, {"softmax": "polynomial"}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("host_tools")
def test_one_wide_block_agrees(large_device: Device, tmp_path: Path, case: str) -> None:
    change, chosen = CASES[case]
    subnet, forms = widest(load("space", "b", SearchSpace), **change), Forms(**chosen)
    rng = np.random.default_rng(0)
    pre = Preprocessing(
        img_size=subnet.img_size,
        channel_order="RGB",
        mean=(0.5, 0.4, 0.4),
        std=(0.2, 0.2, 0.3),
        value_max=255,
    )
    size = (2, subnet.img_size, subnet.img_size, subnet.in_chans)
    images = rng.integers(0, 256, size).astype(np.uint8)
    floating = float_model(subnet, random_weights(subnet, rng), pre, "random", forms)
    integer, names = quantize(floating, images), [str(n) for n in range(subnet.num_classes)]
    scheduled = schedule(subnet, forms)
    write_firmware(tmp_path, Component(integer, scheduled, large_device, names))
    result = compare(integer, tmp_path, tmp_path / "builds", large_device, images)
    assert result.bit_exact == {"host": True, "emulated": None}
    exact = run_float(floating, images)
    assert np.corrcoef(exact.ravel(), result.reference.ravel())[0, 1] > 0.99


@pytest.mark.usefixtures("emulator_tools")
def test_a_device_larger_than_every_emulated_board(
    small_network, write: Callable[..., Path], large_device: Device, tmp_path: Path
) -> None:
    """Host and board build; the emulated chip is not verified, and the reason is told."""
    firmware, images = write(small_network, large_device), small_network.images[:2]
    result = compare(small_network.integer, firmware, tmp_path / "builds", large_device, images)
    assert result.bit_exact == {"host": True, "emulated": None}
    reason = (
        "emulated chip not verified: device.regions.qspi: more memory than the emulated board has "
        "(got 67108864, expected at most 16777216 bytes of flash)"
    )
    assert result.missing == (reason,)
    linked = board.measure(board.cross_build(firmware, tmp_path / "device", "device"))
    assert linked.arena == small_network.scheduled.plan.arena_bytes
