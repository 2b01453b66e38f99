"""The programs of an export on a device that no emulated board is as large as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcuformer.device import Device
from mcuformer.errors import BudgetError
from mcuformer.run.artifact import RunDir
from mcuformer.subnet import SubnetConfig
from oplib.target.built import build_programs, built_content, elf_files
from oplib.target.compare import compare
from oplib.target.target import Target

SDRAM = {"name": "sdram", "kind": "sram", "origin": 0xC0000000, "size_bytes": 8 << 20}


@pytest.mark.usefixtures("emulator_tools")
def test_an_arena_in_sdram_is_built_and_not_verified(
    small_network,
    write: Callable[..., Path],
    small_subnet: SubnetConfig,
    stm32f746: Device,
    tmp_path: Path,
) -> None:
    """8 MB; the stack has a bound, which is checked, and no measure."""
    content = stm32f746.dump()
    regions = [*content["regions"], SDRAM]
    chip = Device.parse(content | {"regions": regions, "arena_region": "sdram"})
    assert elf_files(chip) == {"device": "build/device.elf"}
    network = replace(small_network, scheduled=Target(chip).schedule(small_subnet))
    run = RunDir(str(write(network, chip)))
    planned, images = Target(chip).cost(small_subnet).footprint, small_network.images[:2]
    result = compare(small_network.integer, run.path, tmp_path / "builds", chip, images)
    assert result.bit_exact == {"host": True, "emulated": None}
    assert "more memory than the emulated board has" in result.missing[0]
    built = build_programs(run, chip, "model", planned, None, tmp_path / "builds")
    assert built is not None
    assert run.file("build/device.elf").exists()
    assert not run.file("build/emulated.elf").exists()
    told = built_content(built)
    assert told["stack"]["measured_bytes"] is None
    assert 0 < told["stack"]["network_bytes"] < told["stack_bound_bytes"] <= 1024
    tight = chip.model_copy(update={"stack_reserve_bytes": told["stack_bound_bytes"] // 8 * 8 - 8})
    with pytest.raises(BudgetError, match=r"^device\.stack_reserve_bytes: .* expected at least"):
        build_programs(run, tight, "model", planned, None, tmp_path / "tight")


def test_without_programs_nothing_is_told() -> None:
    assert built_content(None) == {"linked": None, "stack_bound_bytes": None, "stack": None}
