from __future__ import annotations

import pytest

from mcuformer.cost import Footprint
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.errors import BudgetError, ConfigError
from mcuformer.run.presets import load

BOARDS = {
    "stm32f100": (8 * 1024, 128 * 1024),
    "stm32f405": (192 * 1024, 1024 * 1024),
    "stm32f427": (256 * 1024, 1024 * 1024),
    "stm32f746": (320 * 1024, 1024 * 1024),
    "stm32h743": (640 * 1024, 2048 * 1024),
}


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_shipped_devices(name: str) -> None:
    device = load("device", name, Device)
    assert device.name == name
    assert (device.sram_bytes, device.flash_bytes) == BOARDS[name]


def sram(arena: int, fast: int) -> Footprint:
    """Return a footprint with 4 bytes of static data and 1,024 of stack."""
    return Footprint(
        arena_bytes=arena,
        fast_bytes=fast,
        static_bytes=4,
        stack_bytes=1024,
        weights_bytes=1,
        code_bytes=1,
    )


@pytest.mark.parametrize(
    ("name", "arena", "fast"),
    [
        ("stm32f405", 128 * 1024 - 1028, 64 * 1024),  # static data and stack beside the arena
        ("stm32f427", 192 * 1024, 64 * 1024 - 1028),  # and beside fast
        ("stm32f746", 320 * 1024 - 1028, 0),
    ],
)
def test_what_shares_a_region_is_counted_together(name: str, arena: int, fast: int) -> None:
    """A byte more in one region does not fit, however much is left in the other."""
    budget = Budget.of(BudgetConfig(), load("device", name, Device))
    assert sram(arena, fast).sram_bytes == budget.sram_bytes
    assert sram(arena, fast).exceeds(budget) == (False, False)
    assert sram(arena + 8, 0).exceeds(budget) == (True, False)
    if fast:
        assert sram(0, fast + 8).exceeds(budget) == (True, False)


def test_regions_are_checked(stm32f100: Device) -> None:
    with pytest.raises(ConfigError, match=r"arena_region 'ram' is not a sram region"):
        Device.parse(stm32f100.dump() | {"arena_region": "ram"})
    regions = stm32f100.dump()["regions"]
    regions[1]["origin"] = regions[0]["origin"] + 100
    with pytest.raises(ConfigError, match="overlap"):
        Device.parse(stm32f100.dump() | {"regions": regions})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"fast_region": "sram"}, "fast_region 'sram' holds the arena; null keeps both in"),
        ({"fast_region": "flash"}, "fast_region 'flash' is not a sram region; these are"),
        ({"fast_region": "dtcm"}, "fast_region 'dtcm' is not a sram region; these are"),
        ({"fast_code_region": "ccm"}, "fast_code_region 'ccm' holds data as well"),
        ({"fast_code_region": "sram"}, "fast_code_region 'sram' holds data as well"),
        (
            {"data_region": "ccm", "stack_reserve_bytes": 65_536},
            "stack_reserve_bytes must leave room in region ccm",
        ),
    ],
)
def test_no_region_is_used_twice(change: dict[str, str | int], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Device.parse(load("device", "stm32f405", Device).dump() | change)


@pytest.mark.parametrize("name", ["o", "org", "origin", "l", "len", "length"])
def test_a_region_has_no_name_of_the_linkers(stm32f100: Device, name: str) -> None:
    region = {"name": name, "kind": "sram", "origin": 0x20000000, "size_bytes": 8192}
    with pytest.raises(ConfigError, match=f"'{name}' is a word of the linker's"):
        Device.parse(stm32f100.dump() | {"regions": [*stm32f100.dump()["regions"], region]})


def test_regions_end_within_32_bits(stm32f100: Device) -> None:
    regions = stm32f100.dump()["regions"]
    regions[1] |= {"origin": 2**32 - 8192}
    Device.parse(stm32f100.dump() | {"regions": regions})
    regions[1] |= {"origin": 2**32 - 8191}
    with pytest.raises(ConfigError, match="region sram ends beyond the 32-bit address space"):
        Device.parse(stm32f100.dump() | {"regions": regions})


@pytest.mark.parametrize("machine", ["virt,dumpdtb=x", "-S", "a b", ""])
def test_a_machine_name_is_no_option(stm32f100: Device, machine: str) -> None:
    emulation = {"machine": machine, "clock_hz": 1}
    with pytest.raises(ConfigError, match=r"emulation\.machine: .*pattern"):
        Device.parse(stm32f100.dump() | {"emulation": emulation})


def test_budget_beyond_the_device_is_refused(stm32f100: Device) -> None:
    with pytest.raises(BudgetError, match=r"budget\.sram_bytes: more than .*got 9000.*8192"):
        Budget.of(BudgetConfig(sram_bytes=9000), stm32f100)
    assert Budget.of(BudgetConfig(sram_bytes=4096), stm32f100).sram_bytes == 4096
    with pytest.raises(BudgetError, match=r"budget\.weights_bytes: more than .*got 200000.*131072"):
        Budget.of(BudgetConfig(weights_bytes=200_000), stm32f100)
    assert Budget.of(BudgetConfig(), stm32f100).weights_bytes == 131_072


def test_a_time_limit_needs_figures_of_the_memory(stm32f100: Device) -> None:
    """Sizes are known without them."""
    regions = stm32f100.dump()["regions"]
    regions[0] |= {"line_bytes": None, "line_wait_cycles": None}
    device = Device.parse(stm32f100.dump() | {"regions": regions})
    assert Budget.of(BudgetConfig(), device).sram_bytes == 8192
    line = (
        r"^budget\.milliseconds: the time is not modelled without .* of region flash of stm32f100"
    )
    with pytest.raises(BudgetError, match=line):
        Budget.of(BudgetConfig(milliseconds=20.0), device)


@pytest.mark.parametrize(
    ("figures", "fault"),
    [
        ({"line_bytes": 16}, "region flash: give line_bytes and line_wait_cycles, or neither"),
        ({"line_bytes": 0, "line_wait_cycles": 5}, r"line_bytes: out of range \(got 0"),
        ({"line_bytes": 16, "line_wait_cycles": -1}, r"line_wait_cycles: out of range \(got -1"),
    ],
)
def test_figures_of_a_memory_are_checked(
    stm32f100: Device, figures: dict[str, int], fault: str
) -> None:
    regions = stm32f100.dump()["regions"]
    regions[0] |= {"line_bytes": None, "line_wait_cycles": None} | figures
    with pytest.raises(ConfigError, match=fault):
        Device.parse(stm32f100.dump() | {"regions": regions})
