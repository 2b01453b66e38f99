"""Firmware: numpy = host C = emulated Cortex-M, and the linker measures what was planned."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms, Passes
from oplib.network.reference import run_float, run_integer
from oplib.plan.footprint import footprint
from oplib.target import board, host, qemu
from oplib.target.firmware import write_firmware
from oplib.target.heap import use_heap
from oplib.target.linker import board_header, emulated_machine, linker_script
from oplib.target.qemu import EmulatedRun

NAMES = [str(i) for i in range(9)] + ['"ü"\\']


def need(*programs: str) -> None:
    """Skip, naming the program, where one is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} not found; `make setup` installs it")


def device_called(root: Path, name: str) -> Device:
    return Device.parse(yaml.safe_load((root / f"conf/device/{name}.yaml").read_text()))


def check_agreement(
    network: Any, subnet: SubnetConfig, forms: Forms, device: Device, place: Path
) -> EmulatedRun:
    """Check numpy = host C under the sanitizer = emulated chip, and planned = linked."""
    need(*host.TOOLS, *qemu.TOOLS)
    write_firmware(place / "firmware", network.integer, network.scheduled, device, NAMES)
    expected = run_integer(network.integer, network.images)
    library = host.build(place / "firmware", place / "host", sanitize="undefined")
    assert np.array_equal(host.run_images(library, network.images, 10), expected)
    elf = qemu.build(place / "firmware", place / "emulated")
    result = qemu.run_images(elf, device, network.images[:8], 10)
    assert np.array_equal(result.logits, expected[:8])
    assert 0 < result.stack_high_water_bytes <= device.stack_reserve_bytes
    linked, planned = board.measure(elf), footprint(subnet, device, forms)
    assert (linked.arena, linked.weights) == (planned.arena_bytes, planned.weights_bytes)
    assert linked.static <= planned.static_bytes
    assert linked.code == pytest.approx(planned.code_bytes, rel=0.1)
    return result


@pytest.mark.parametrize("name", ["stm32f100", "stm32f405", "stm32f427", "stm32f746", "stm32h743"])
def test_three_computations_agree(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    root: Path,
    tmp_path: Path,
    name: str,
) -> None:
    device = device_called(root, name)
    network = random_network(small_subnet, preprocessing, seed=3)
    result = check_agreement(network, small_subnet, DEFAULT_FORMS, device, tmp_path)
    macs = small_subnet.macs
    assert np.all((result.instructions > macs) & (result.instructions < 8 * macs))
    board_elf = board.cross_build(tmp_path / "firmware", tmp_path / "device", "device")
    assert board.measure(board_elf).arena == network.scheduled.plan.arena_bytes


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


ODD_SCHEDULES = (
    ({}, None, None),
    ({"input": "strip"}, None, 10**6),
    ({"merge_low_rank": True, "input": "strip"}, 1, None),
    ({"stream_tokens": False}, None, None),
    ({"stream_tokens": False, "overwrite_tokens": False}, 1, 10**6),
    ({"stream_tokens": False, "integrate_operators": False}, None, None),
)


@pytest.mark.parametrize("seed", range(len(ODD_SCHEDULES)))
def test_odd_shapes_agree_in_every_schedule(
    random_network, preprocessing: Preprocessing, root: Path, tmp_path: Path, seed: int
) -> None:
    """Portable C on the host, dual products on Cortex-M7 and M4, portable C on Cortex-M3."""
    need(*host.TOOLS, *qemu.TOOLS)
    device = device_called(root, ("stm32f746", "stm32f405", "stm32f100")[seed % 3])
    device = device.model_copy(update={"stack_reserve_bytes": 1024})
    subnet, (passes, kernel, limit) = odd_subnet(seed), ODD_SCHEDULES[seed]
    forms = Forms(passes=Passes(**passes), patch_kernel=kernel)
    chans = subnet.in_chans
    change = {"img_size": subnet.img_size, "channel_order": "RGB" if chans == 3 else "L"}
    change |= {"mean": (0.4,) * chans, "std": (0.5,) * chans}
    pre = preprocessing.model_copy(update=change)
    network = random_network(subnet, pre, seed, forms, limit)
    write_firmware(tmp_path / "firmware", network.integer, network.scheduled, device, NAMES)
    expected = run_integer(network.integer, network.images[:3])
    library = host.build(tmp_path / "firmware", tmp_path / "host", sanitize="undefined")
    assert np.array_equal(host.run_images(library, network.images[:3], 10), expected), subnet
    elf = qemu.build(tmp_path / "firmware", tmp_path / "emulated")
    result = qemu.run_images(elf, device, network.images[:3], 10)
    assert np.array_equal(result.logits, expected), subnet


CLASS_TOKEN = {"class_token": True}
RELATIVE = {"relative_position": 2}
EVERY_FORM = {  # tools/compare_operators.py switches them on one at a time
    "sigmoid, shift, three steps": ({}, {"gelu": "sigmoid", "softmax": "shift", "sqrt": "newton3"}),
    "polynomials, exact root": (
        {},
        {"gelu": "polynomial", "softmax": "polynomial", "sqrt": "exact"},
    ),
    "normalised weights, passes": ({}, {"attention_weights": "int8", "patch_kernel": 1}),
    "wide residual and factors": ({}, {"residual": "int16", "low_rank": "int16"}),
    "wide residual, norm last": ({"fc_norm": True}, {"residual": "int16"}),
    "class token": (CLASS_TOKEN | {"global_pool": "token"}, {}),
    "relative": (RELATIVE, {}),
    "relative, class token, no absolute": (
        RELATIVE | CLASS_TOKEN | {"absolute_position": False, "global_pool": "token"},
        {"softmax": "shift", "residual": "int16"},
    ),
    "one convolution": ({"tokenizer": "conv1", "patch_size": 4}, {}),
    "two convolutions": (
        {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 6} | CLASS_TOKEN,
        {"residual": "int16"},
    ),
}


@pytest.mark.parametrize("case", EVERY_FORM)
def test_every_form_agrees(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    root: Path,
    tmp_path: Path,
    case: str,
) -> None:
    device = device_called(root, "stm32f746" if "wide" in case else "stm32f405")
    change, forms = EVERY_FORM[case][0], Forms(**EVERY_FORM[case][1])
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    network = random_network(subnet, preprocessing, 4, forms)
    check_agreement(network, subnet, forms, device, tmp_path)
    floating = run_float(network.floating, network.images)
    integer = run_integer(network.integer, network.images)
    assert np.corrcoef(floating.ravel(), integer.ravel())[0, 1] > 0.99


def test_integers_follow_the_float_network(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    network = random_network(small_subnet, preprocessing)
    floating = run_float(network.floating, network.images)
    integer = run_integer(network.integer, network.images).astype(np.float64)
    assert np.corrcoef(floating.ravel(), integer.ravel())[0, 1] > 0.999


def test_equal_inputs_give_equal_bytes(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
    tmp_path: Path,
) -> None:
    contents = []
    for folder in ("a", "b"):
        network = random_network(small_subnet, preprocessing)
        write_firmware(tmp_path / folder, network.integer, network.scheduled, stm32f100, NAMES)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        contents.append([(str(p.relative_to(tmp_path / folder)), p.read_bytes()) for p in files])
    assert contents[0] == contents[1]
    assert len(contents[0]) > 20


@pytest.mark.parametrize("passes", [{}, {"stream_tokens": False}, {"input": "strip"}])
def test_sanitizers_are_silent(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
    tmp_path: Path,
    passes: dict[str, Any],
) -> None:
    """One heap block a buffer; the sanitizer must be loaded before Python, hence a process."""
    need(*host.TOOLS)
    network = random_network(small_subnet, preprocessing, 0, Forms(passes=Passes(**passes)))
    write_firmware(tmp_path / "firmware", network.integer, network.scheduled, stm32f100, NAMES)
    use_heap(tmp_path / "firmware", network.integer, network.scheduled)
    library = host.build(tmp_path / "firmware", tmp_path / "asan", sanitize="address,undefined")
    np.save(tmp_path / "images.npy", network.images)
    runtime = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    script = (
        "import sys, numpy as np; from pathlib import Path; from oplib.target import host;"
        "np.save(sys.argv[2], host.run_images(Path(sys.argv[1]), np.load(sys.argv[3]), 10))"
    )
    arguments = [str(library), str(tmp_path / "logits.npy"), str(tmp_path / "images.npy")]
    environment = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, env=environment)
    expected = run_integer(network.integer, network.images)
    assert np.array_equal(np.load(tmp_path / "logits.npy"), expected)


def test_kernels_run_from_fast_memory(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f746: Device,
    tmp_path: Path,
) -> None:
    """The STM32F746's ITCM, 16 KB at 0: inner kernels are copied there, weights to QSPI flash."""
    itcm = {"name": "itcm", "kind": "sram", "origin": 0, "size_bytes": 16384}
    qspi = {"name": "qspi", "kind": "flash", "origin": 0x90000000, "size_bytes": 1 << 24}
    content = stm32f746.dump()
    content |= {"regions": [*content["regions"], itcm, qspi], "fast_code_region": "itcm"}
    device = Device.parse({**content, "weights_region": "qspi"})
    network = random_network(small_subnet, preprocessing, seed=3)
    check_agreement(network, small_subnet, DEFAULT_FORMS, device, tmp_path)
    addresses = {
        parts[-1]: int(parts[0], 16)
        for parts in (
            line.split()
            for line in subprocess.run(
                ["arm-none-eabi-nm", str(tmp_path / "emulated" / "model.elf")],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
        )
    }
    assert addresses["oplib_tile_linear_s8"] >= 0x20000000
    assert addresses["model_run"] < 0x20000000
    assert addresses["model_weights"] >= 0x60000000


def test_a_network_beyond_the_memory_does_not_link(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
    tmp_path: Path,
) -> None:
    need(*qemu.TOOLS)
    regions = [
        r.model_copy(update={"size_bytes": 2048}) if r.name == "sram" else r
        for r in stm32f100.regions
    ]
    tiny = stm32f100.model_copy(update={"regions": tuple(regions)})
    network = random_network(small_subnet, preprocessing)
    write_firmware(tmp_path / "firmware", network.integer, network.scheduled, tiny, NAMES)
    with pytest.raises(FirmwareError, match=r"region `sram' overflowed by \d+ bytes"):
        qemu.build(tmp_path / "firmware", tmp_path / "emulated")


def test_an_access_beyond_the_memory_faults(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f746: Device,
    tmp_path: Path,
) -> None:
    """On a generic board the firmware itself forbids what the device does not have."""
    need(*qemu.TOOLS)
    network = random_network(small_subnet, preprocessing)
    write_firmware(tmp_path / "firmware", network.integer, network.scheduled, stm32f746, NAMES)
    source = tmp_path / "firmware" / "model.c"
    beyond = 0x20000000 + stm32f746.sram_bytes
    begin = "    uint8_t *const a = model_arena;\n"
    poke = f"{begin}    *(volatile int8_t *){beyond:#x}u = 1;\n"
    source.write_text(source.read_text().replace(begin, poke))
    elf = qemu.build(tmp_path / "firmware", tmp_path / "emulated")
    with pytest.raises(FirmwareError, match="exit code 98"):
        qemu.run_images(elf, stm32f746, network.images, 10)


@pytest.mark.parametrize("name", ["stm32f100", "stm32f405", "stm32f746"])
def test_instructions_are_counted_exactly(
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    root: Path,
    tmp_path: Path,
    name: str,
) -> None:
    """A loop of known length adds its length, also where SysTick wraps in between."""
    need(*qemu.TOOLS)
    device = device_called(root, name)
    network = random_network(small_subnet, preprocessing)
    write_firmware(tmp_path / "firmware", network.integer, network.scheduled, device, NAMES)
    source = tmp_path / "firmware" / "src" / "classifier_s8.c"
    body = source.read_text()
    counts = []
    for iterations in (1_000, 8_001_000):
        spin = (
            f"{{\n    uint32_t left = {iterations}u;\n"
            '    __asm__ volatile("1: subs %0, #1\\n\\tbne 1b" : "+r"(left) : : "cc");'
        )
        source.write_text(body.replace("{", spin, 1))
        elf = qemu.build(tmp_path / "firmware", tmp_path / "emulated")
        result = qemu.run_images(elf, device, network.images[:2], 10)
        counts.append(result.instructions)
    # two instructions an iteration; the interrupt of each wrap adds a handful
    assert np.all(np.abs(counts[1] - counts[0] - 16_000_000) <= 1000)


def test_memory_maps(root: Path) -> None:
    device = device_called(root, "stm32f427")
    script = linker_script(device, {r.name: r for r in device.regions})
    assert "ccm (rwx) : ORIGIN = 0x10000000, LENGTH = 65536" in script
    machine = emulated_machine(device)
    assert (machine.name, machine.mpu) == ("mps2-an386", True)
    assert machine.regions["ccm"].origin == 0x20100000
    # 192 KB = 128 KB + 64 KB: base, then size code (log2 - 1) << 1 with the enable bit
    header = board_header(machine)
    assert "{0x20000000u, 0x13020021u}" in header
    assert "{0x20020000u, 0x1302001fu}" in header
    assert "BOARD_MPU_REGIONS" not in board_header(
        emulated_machine(device_called(root, "stm32f100"))
    )
