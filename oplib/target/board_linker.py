"""The folder of a board that starts with its vendor's own code: what is copied and generated.

Code, weights, arenas and stack lie where they do in the ports. Only the start-up code differs.
"""

from __future__ import annotations

from mcuformer.device import Device
from oplib.codegen.runtime import RUNTIME
from oplib.target.linker import Startup, linker_script

BOARDS = RUNTIME / "boards"
CALLED_BEFORE_MAIN = ("preinit_array", "init_array", "fini_array")  # by newlib
ST_STARTUP = Startup(  # startup_*.s of ST's CMSIS device packages
    entry="Reset_Handler",
    vectors="KEEP(*(.isr_vector))",
    tables=(
        "        KEEP(*(.init)) KEEP(*(.fini))",
        *(
            f"        . = ALIGN(4); PROVIDE_HIDDEN(__{name}_start = .); "
            f"KEEP(*(SORT(.{name}.*))) KEEP(*(.{name})) PROVIDE_HIDDEN(__{name}_end = .);"
            for name in CALLED_BEFORE_MAIN
        ),
    ),
    symbols=(
        "_estack = port_stack_end",
        "_sidata = port_data_load",
        "_sdata = port_data_start",
        "_edata = port_data_end",
        "_sbss = port_bss_start",
        "_ebss = port_bss_end",
    ),
)


def board_files(device: Device) -> dict[str, bytes]:
    """Return the content of each file of the device's board, by its path; nothing without a board.

    The files of ``runtime/boards`` are copied; ``device.ld`` and ``device.cmake`` are generated.
    """
    if device.board is None:
        return {}
    folder = BOARDS / device.board
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    files |= {"device.ld": text(device).encode(), "device.cmake": settings(device).encode()}
    return {f"{device.board}/{name}": content for name, content in files.items()}


def text(device: Device) -> str:
    """Return ``device.ld``, a board's linker script for ST's start-up code."""
    regions = {name: device.region(name) for name in device.used_regions}
    return linker_script(device, regions, ST_STARTUP)


def settings(device: Device) -> str:
    """Return ``device.cmake``, which tells where weights are flashed apart from the code."""
    name = device.flash_regions[-1]
    address = "" if name == device.code_region else f"{device.region(name).origin:#010x}"
    return f'set(BOARD_WEIGHTS_ADDRESS "{address}") # empty: the weights are among the code\n'
