"""Firmware: numpy = host C = emulated Cortex-M, and the linker measures what was planned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.errors import ArtifactError
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms, Passes
from oplib.network.reference import run_float, run_integer
from oplib.plan.check_plan import check_plan, execute
from oplib.plan.schedule import Schedule
from oplib.target import board, host, qemu
from oplib.target.target import Target


@pytest.mark.parametrize("name", ["stm32f100", "stm32f405", "stm32f427", "stm32f746", "stm32h743"])
def test_three_computations_agree(
    small_network,
    check_agreement,
    small_subnet: SubnetConfig,
    device: Callable[[str], Device],
    tmp_path: Path,
    name: str,
) -> None:
    chip = device(name)
    result = check_agreement(small_network, small_subnet, DEFAULT_FORMS, chip, tmp_path)
    macs = small_subnet.macs
    assert np.all((result.instructions > macs) & (result.instructions < 8 * macs))


def odd_subnet(seed: int) -> SubnetConfig:
    """Draw a network of odd sizes: one token or many, one head or several, quads left half full."""
    rng = np.random.default_rng(seed)
    patch = int(rng.choice([1, 2, 3, 4, 8]))
    head_dim = int(rng.choice([4, 6, 8, 12]))
    block = {
        "num_heads": int(rng.integers(1, 5)),
        "head_dim": head_dim,
        "mlp_ratio": float(rng.choice([0.7, 1.3, 2.9])),
    }
    return SubnetConfig.parse(
        {
            "img_size": 8 if patch > 1 else 5,
            "patch_size": patch,
            "in_chans": 1 if rng.random() < 0.5 else 3,
            "num_classes": 10,
            "embed_dim": int(rng.integers(9, 40)),
            "rank_ratio": float(rng.choice([0.4, 0.9, 1.0])),
            "low_rank": ("qkv", "proj", "fc1", "fc2"),
            "blocks": (block, {**block, "num_heads": 1}),
        }
    )


WIDE = {"residual": "int16", "low_rank": "int16"}
LAYERS = {"stream_tokens": False}
# by seed, which also chooses the core; from 6 on networks that stream whole blocks, or none
ODD_SCHEDULES: dict[int, tuple[dict[str, Any], dict[str, Any], int | None]] = {
    0: ({}, {}, None),
    1: ({"input": "strip"}, {}, 10**6),
    2: ({"merge_low_rank": True, "input": "strip"}, {"patch_kernel": 1}, None),
    3: (LAYERS, {}, None),
    4: (LAYERS | {"overwrite_tokens": False}, {"patch_kernel": 1}, 10**6),
    5: (LAYERS | {"integrate_operators": False}, {}, None),
    6: ({}, WIDE | {"gelu": "sigmoid"}, None),
    9: (LAYERS, WIDE | {"gelu": "polynomial"}, None),
    10: (LAYERS, WIDE | {"gelu": "sigmoid"}, None),
    11: ({"input": "strip"}, {"low_rank": "int16", "gelu": "sigmoid"}, None),
    21: ({}, {"residual": "int16", "gelu": "polynomial"}, 10**6),
    31: ({}, WIDE | {"gelu": "polynomial"}, None),
    47: ({}, WIDE | {"gelu": "polynomial"}, 10**6),
}


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize("seed", ODD_SCHEDULES)
def test_odd_shapes_agree_in_every_schedule(
    random_network,
    preprocessing: Preprocessing,
    device: Callable[[str], Device],
    write: Callable[..., Path],
    with_panels: Callable[[Schedule, int], Schedule],
    seed: int,
) -> None:
    """Portable C on the host, dual products on Cortex-M7 and M4, portable C on Cortex-M3."""
    chip = device(("stm32f746", "stm32f405", "stm32f100")[seed % 3])
    chip = chip.model_copy(update={"stack_reserve_bytes": 1024})
    subnet, (passes, others, limit) = odd_subnet(seed), ODD_SCHEDULES[seed]
    forms = Forms(passes=Passes(**passes), **others)
    chans = subnet.in_chans
    change = {"img_size": subnet.img_size, "channel_order": "RGB" if chans == 3 else "L"}
    change |= {"mean": (0.4,) * chans, "std": (0.5,) * chans}
    pre = preprocessing.model_copy(update=change)
    network = random_network(subnet, pre, seed, forms, limit)
    network = replace(network, scheduled=with_panels(network.scheduled, seed))
    blocks = {"attention_block", "mlp_block"} & {node.op for node in network.scheduled.calls.nodes}
    assert seed < 6 or len(blocks) == (2 if forms.passes.stream_tokens else 0)
    check_plan(network.scheduled.calls, network.scheduled.plan)
    firmware = write(network, chip)
    expected = run_integer(network.integer, network.images[:3])
    library = host.build(firmware, firmware.parent / "host", sanitize="undefined")
    assert np.array_equal(host.run_images(library, network.images[:3], 10), expected), subnet
    elf = qemu.build(firmware, firmware.parent / "emulated")
    result = qemu.run_images(elf, chip, network.images[:3], 10)
    assert np.array_equal(result.logits, expected), subnet


CLASS_TOKEN = {"class_token": True}
RELATIVE = {"relative_position": 2}
OTHER_ACTIVATIONS = [
    {"num_heads": 2, "head_dim": 16, "mlp_ratio": 2.0, "activation": "relu"},
    {"num_heads": 3, "head_dim": 16, "mlp_ratio": 1.5, "activation": "hard_swish"},
]
PRUNED = [  # one head, odd hidden units, layers that follow the ratio beside others
    {"num_heads": 1, "head_dim": 16, "mlp_ratio": 13 / 32, "ranks": {"qkv": 5, "proj": 3}},
    {"num_heads": 3, "head_dim": 16, "mlp_ratio": 1 / 32, "ranks": {"fc2": 1, "fc1": 7}},
]
MIXED = [  # dense beside low rank in one block, in a network of ratio 0.5
    {"num_heads": 2, "head_dim": 16, "mlp_ratio": 2.0, "qkv_rank_ratio": 1.0},
    {"num_heads": 3, "head_dim": 16, "mlp_ratio": 1.5, "fc1_rank_ratio": 0.25, "fc2_rank_ratio": 1},
]
EVERY_FORM = {  # tools/compare_operators.py switches them on one at a time
    "sigmoid, shift, three steps": ({}, {"gelu": "sigmoid", "softmax": "shift", "sqrt": "newton3"}),
    "polynomials, exact root": (
        {},
        {"gelu": "polynomial", "softmax": "polynomial", "sqrt": "exact"},
    ),
    "normalised weights, passes": ({}, {"attention_weights": "int8", "patch_kernel": 1}),
    "wide residual and factors": ({}, {"residual": "int16", "low_rank": "int16"}),
    "wide residual, norm last": ({"fc_norm": True}, {"residual": "int16"}),
    "other activations": ({"blocks": OTHER_ACTIVATIONS}, {}),
    "pruned blocks": ({"blocks": PRUNED}, {}),
    "a rank per layer": ({"blocks": MIXED}, {}),
    "class token": (CLASS_TOKEN | {"global_pool": "token"}, {}),
    "relative": (RELATIVE, {}),
    "relative, class token": (RELATIVE | CLASS_TOKEN, {"attention_weights": "int8"}),
    "relative, class token, no absolute": (
        RELATIVE | CLASS_TOKEN | {"absolute_position": False, "global_pool": "token"},
        {"softmax": "shift", "residual": "int16"},
    ),
    "one convolution": ({"tokenizer": "conv1", "patch_size": 4}, {}),
    "one convolution, layer by layer": (
        {"tokenizer": "conv1", "patch_size": 4},
        {"passes": Passes(stream_tokens=False)},
    ),
    "convolutions, strips": (
        {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 8},
        {"passes": Passes(input="strip")},
    ),
    "two convolutions": (
        {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 6} | CLASS_TOKEN,
        {"residual": "int16"},
    ),
}


@pytest.fixture(params=EVERY_FORM)
def form(request: pytest.FixtureRequest, small_subnet: SubnetConfig) -> tuple[SubnetConfig, Forms]:
    change, forms = EVERY_FORM[request.param]
    return SubnetConfig.parse(small_subnet.dump() | change), Forms(**forms)


def test_every_form_agrees(
    random_network,
    check_agreement,
    form: tuple[SubnetConfig, Forms],
    preprocessing: Preprocessing,
    device: Callable[[str], Device],
    tmp_path: Path,
) -> None:
    subnet, forms = form
    chip = device("stm32f746" if forms.residual == "int16" else "stm32f405")
    network = random_network(subnet, preprocessing, 4, forms)
    check_agreement(network, subnet, forms, chip, tmp_path)
    floating = run_float(network.floating, network.images)
    integer = run_integer(network.integer, network.images)
    assert np.corrcoef(floating.ravel(), integer.ravel())[0, 1] > 0.99


def test_convolutions_on_the_smallest_stack(
    random_network,
    check_agreement,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
    tmp_path: Path,
) -> None:
    """The deepest calls: fetched rows, two stages, int16 tokens, products that are not inlined."""
    change = {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 8}
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    forms = Forms(residual="int16", passes=Passes(input="strip"))
    network = random_network(subnet, preprocessing, 4, forms)
    check_agreement(network, subnet, forms, stm32f100, tmp_path)


def with_sizes(chip: Device, sizes: dict[str, int]) -> Device:
    """Return a device with other sizes of the regions named."""
    regions = [r.dump() | {"size_bytes": sizes.get(r.name, r.size_bytes)} for r in chip.regions]
    return Device.parse(chip.dump() | {"regions": regions})


TWO_REGIONS = {
    "all scratch fast": (5, "stm32h743", {}),
    "some scratch fast": (1, "stm32f405", {"ccm": 320}),
    "scratch beside the stack": (4, "stm32f427", {"ccm": 2048}),
    "stream fast": (6, "stm32f405", {"sram": 1952, "ccm": 288}),
    "stream beside the stack": (9, "stm32f427", {"sram": 1248, "ccm": 1312}),
}


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize("case", TWO_REGIONS)
def test_random_exports_in_two_regions(
    random_network,
    preprocessing: Preprocessing,
    device: Callable[[str], Device],
    write: Callable[..., Path],
    case: str,
) -> None:
    """What the target plans is what the linker measures, and every logit is numpy's."""
    seed, name, sizes = TWO_REGIONS[case]
    chip, subnet = with_sizes(device(name), sizes), odd_subnet(seed)
    chans = subnet.in_chans
    change = {"img_size": subnet.img_size, "channel_order": "RGB" if chans == 3 else "L"}
    change |= {"mean": (0.4,) * chans, "std": (0.5,) * chans}
    network = random_network(subnet, preprocessing.model_copy(update=change), seed)
    target = Target(chip)
    scheduled, planned = target.schedule(subnet), target.cost(subnet).footprint
    expected = run_integer(network.integer, network.images[:3])
    for image, logits in zip(network.images, expected, strict=False):
        found = execute(network.integer, scheduled.calls, scheduled.plan, image)
        assert np.array_equal(found, logits)
    plan, needs = scheduled.plan, len(scheduled.plan.scratch)
    assert bool(plan.fast_tensors) == case.startswith("stream")
    assert (len(plan.fast_scratch) == needs) == case.startswith("all")
    firmware = write(replace(network, scheduled=scheduled), chip)
    library = host.build(firmware, firmware.parent / "host", sanitize="undefined")
    assert np.array_equal(host.run_images(library, network.images[:3], 10), expected)
    elf = qemu.build(firmware, firmware.parent / "emulated")
    linked = board.measure(elf)
    assert (linked.arena, linked.fast) == (planned.arena_bytes, planned.fast_bytes)
    assert not planned.exceeds(target.limit)[0]
    result = qemu.run_images(elf, chip, network.images[:3], 10)
    assert np.array_equal(result.logits, expected)


def test_equal_inputs_give_equal_bytes(
    random_network,
    write: Callable[..., Path],
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
) -> None:
    contents = []
    for name in ("a", "b"):
        place = write(random_network(small_subnet, preprocessing), stm32f100, name)
        files = sorted(path for path in place.rglob("*") if path.is_file())
        contents.append({str(p.relative_to(place)): p.read_bytes() for p in files})
    assert contents[0] == contents[1]
    for folder in ("firmware", "port"):
        files = {
            name.removeprefix(f"{folder}/"): content
            for name, content in contents[0].items()
            if name.startswith(f"{folder}/")
        }
        manifest = json.loads(files.pop("manifest.json"))
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        assert manifest["files"] == digests
    weights = contents[0]["firmware/model_weights.bin"]
    assert json.loads(contents[0]["firmware/manifest.json"])["weights_bytes"] == len(weights)


@pytest.mark.usefixtures("emulator_tools")
def test_the_boards_own_firmware_links(
    small_network, write: Callable[..., Path], stm32f100: Device, tmp_path: Path
) -> None:
    """With the loop of port/app/main.c and the chip's own memory map."""
    elf = board.cross_build(write(small_network, stm32f100), tmp_path / "device", "device")
    assert board.measure(elf).arena == small_network.scheduled.plan.arena_bytes


def test_files_of_the_users_are_never_replaced(
    small_network, write: Callable[..., Path], stm32f100: Device
) -> None:
    folder = write(small_network, stm32f100)
    path = folder / "firmware"
    content = (path / "model.c").read_text()
    write(small_network, stm32f100)
    (path / "board.c").write_text("my own")
    (path / "model.c").write_text("edited")
    (folder / "port" / "device" / "mine.c").write_text("")
    with pytest.raises(ArtifactError, match=r"no export wrote board\.c, model\.c as it is now"):
        write(small_network, stm32f100)
    assert (path / "board.c").read_text() == "my own"
    (path / "board.c").unlink()
    (path / "model.c").write_text(content)
    (path / "model.h").unlink()
    with pytest.raises(ArtifactError, match=r"port: not replaced: no export wrote device/mine\.c"):
        write(small_network, stm32f100)
    (folder / "port" / "device" / "mine.c").unlink()
    write(small_network, stm32f100)
    assert (path / "model.h").exists()


def test_what_is_beside_the_folders_survives_every_export(
    small_network, write: Callable[..., Path], stm32f746: Device
) -> None:
    folder = write(small_network, stm32f746)
    mine = folder / "board" / "board.c"
    mine.parent.mkdir()
    mine.write_text("/* my own */")
    for _ in range(10):
        write(small_network, stm32f746)
    assert mine.read_text() == "/* my own */"
    names = {path.name for path in folder.iterdir()}
    assert names == {"board", "boards", "firmware", "port"}


def test_a_folder_that_no_export_wrote_is_not_replaced(
    small_network, write: Callable[..., Path], stm32f100: Device, tmp_path: Path
) -> None:
    theirs, linked = tmp_path / "theirs", tmp_path / "linked"
    (theirs / "firmware").mkdir(parents=True)
    (theirs / "firmware" / "main.c").write_text("")
    linked.mkdir()
    (linked / "port").symlink_to(theirs)
    for name, folder in (("theirs", "firmware"), ("linked", "port")):
        with pytest.raises(ArtifactError, match=f"{name}/{folder}: not replaced: no export wrote"):
            write(small_network, stm32f100, name)
    assert (theirs / "firmware" / "main.c").exists()
    assert not (linked / "firmware").exists()
