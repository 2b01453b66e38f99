"""Linker scripts and board headers, generated from a device's memory map."""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.device import Core, Device, MemoryRegion
from mcuformer.errors import FirmwareError, ToolMissingError
from oplib.codegen.component import GENERATED
from oplib.codegen.runtime import CORE_DEFINITIONS
from oplib.codegen.selftest_c import TESTS_SECTION
from oplib.codegen.weights_c import WEIGHTS_SECTION

CORE_FLAGS: dict[Core, str] = {
    "cortex-m0plus": "-mcpu=cortex-m0plus -mthumb",
    "cortex-m3": "-mcpu=cortex-m3 -mthumb",
    "cortex-m4": "-mcpu=cortex-m4 -mthumb -mfloat-abi=soft",
    "cortex-m7": "-mcpu=cortex-m7 -mthumb -mfloat-abi=soft",
}
CPU_FLAGS: dict[Core, str] = {  # of a kernel that is compiled by itself
    core: " ".join([flags, *(f"-D{name}" for name in CORE_DEFINITIONS[core])])
    for core, flags in CORE_FLAGS.items()
}
OPTIMIZE = "-O2"  # the default of runtime/CMakeLists.txt
KERNEL_FLAGS = f"-std=c99 {OPTIMIZE}"
GENERIC_MACHINES: dict[Core, str] = {
    "cortex-m0plus": "mps2-an385",  # a Cortex-M3, which executes all of ARMv6-M
    "cortex-m3": "mps2-an385",
    "cortex-m4": "mps2-an386",
    "cortex-m7": "mps2-an500",
}
GENERIC_CLOCK_HZ = 25_000_000
GENERIC_FLASH, GENERIC_SRAM, GENERIC_LIMIT = 0x00000000, 0x20000000, 0x400000
GENERIC_OUTSIDE_LIMIT = 0x1000000
SERIAL_LINES = {  # kind and address of a machine's first serial line
    "mps2-an385": ("CMSDK", 0x40004000),
    "mps2-an386": ("CMSDK", 0x40004000),
    "mps2-an500": ("CMSDK", 0x40004000),
    "netduino2": ("STM32", 0x40011000),
    "netduinoplus2": ("STM32", 0x40011000),
    "stm32vldiscovery": ("STM32", 0x40013800),
}
GENERIC_OUTSIDE: dict[Core, int] = {  # external memory, for weights
    "cortex-m0plus": 0x21000000,
    "cortex-m3": 0x21000000,
    "cortex-m4": 0x21000000,
    "cortex-m7": 0x60000000,
}
MPU_READ_EXECUTE = 0x06020000  # read-only for all, normal memory
MPU_READ_WRITE = 0x13020000  # full access, never executed, normal memory
MPU_READ_WRITE_EXECUTE = 0x03020000  # full access, for code copied to SRAM
MPU_DEVICE = 0x13010000  # full access, never executed, registers of a device
SERIAL_PAGE = 4096  # bytes of addresses of a serial line's registers
MPU_MAX_REGIONS = 8
MPU_MIN_BYTES = 32


@dataclass(frozen=True)
class Startup:
    """What start-up code wants of a linker script.

    Args:
        entry: symbol that a reset jumps to.
        vectors: content of the first section of flash.
        tables: lines of the section of code, for functions that are called before main().
        symbols: assignments of what it calls the ends of sections.
    """

    entry: str
    vectors: str
    tables: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


PORT_STARTUP = Startup("port_reset", "LONG(port_stack_end) KEEP(*(.vectors))")


@dataclass(frozen=True)
class Machine:
    """A QEMU machine and the memory map the firmware is linked for.

    Args:
        name: value of QEMU's ``-M`` option.
        clock_hz: frequency of SysTick.
        regions: memory regions that the firmware uses, at the machine's addresses.
        mpu: whether the firmware itself must forbid memory outside the regions, with the MPU.
        executable: names of the SRAM regions that hold code.
    """

    name: str
    clock_hz: int
    regions: dict[str, MemoryRegion]
    mpu: bool
    executable: tuple[str, ...] = ()


def emulated_machine(device: Device) -> Machine:
    """Return the machine that emulates `device`: QEMU's model of the chip, or a generic board.

    On a generic board of the same core, the regions keep their sizes and take other addresses.

    Raises:
        ToolMissingError: the device has more memory than the generic board.
    """
    regions = {name: device.region(name) for name in device.used_regions}
    if device.emulation is not None:
        return Machine(device.emulation.machine, device.emulation.clock_hz, regions, mpu=False)
    relocated, next_free = {}, {"flash": GENERIC_FLASH, "sram": GENERIC_SRAM}
    next_free["outside"] = GENERIC_OUTSIDE[device.core]
    limits = {"flash": GENERIC_FLASH + GENERIC_LIMIT, "sram": GENERIC_SRAM + GENERIC_LIMIT}
    limits["outside"] = GENERIC_OUTSIDE[device.core] + GENERIC_OUTSIDE_LIMIT
    for name, region in regions.items():
        external = name == device.weights_region and name != device.code_region
        memory = "outside" if external else region.kind
        origin = next_free[memory]
        end = origin + region.size_bytes
        if end > limits[memory]:
            raise ToolMissingError(
                "more memory than the emulated board has",
                where=f"device.regions.{name}",
                got=region.size_bytes,
                expected=f"at most {limits[memory] - origin} bytes of {region.kind}",
            )
        relocated[name] = region.model_copy(update={"origin": origin})
        next_free[memory] = -(-end // 0x100000) * 0x100000
    executable = () if device.fast_code_region is None else (device.fast_code_region,)
    return Machine(GENERIC_MACHINES[device.core], GENERIC_CLOCK_HZ, relocated, True, executable)


def is_emulated(device: Device) -> bool:
    """Return whether an emulated machine has as much memory as the device."""
    try:
        emulated_machine(device)
    except ToolMissingError:
        return False
    return True


def linker_script(
    device: Device, regions: dict[str, MemoryRegion], startup: Startup = PORT_STARTUP
) -> str:
    """Return the linker script for a memory map.

    The stack is the first thing in its region and grows towards the region's start, so an overflow
    leaves the memory and faults instead of overwriting the arena.

    Args:
        device: device whose regions receive code, weights, arenas, stack and data.
        regions: memory map by region name: the device's own, or the emulated machine's.
        startup: start-up code that it is for; by default ``port/cortex_m/startup.c``.
    """
    memory = [
        f"    {name} ({'rx' if region.kind == 'flash' else 'rwx'}) : "
        f"ORIGIN = {region.origin:#010x}, LENGTH = {region.size_bytes}"
        for name, region in regions.items()
    ]
    code = device.code_region
    weights = device.weights_region or code
    return "\n".join(
        [
            GENERATED,
            "MEMORY",
            "{",
            *memory,
            "}",
            f"ENTRY({startup.entry})",
            "SECTIONS",
            "{",
            f"    .vectors : {{ {startup.vectors} }} > {code}",
            f"    .weights : ALIGN(8) {{ *({WEIGHTS_SECTION}.*) }} > {weights}",
            f"    .test_images : ALIGN(8) {{ *({TESTS_SECTION}.*) }} > {weights}",
            *_fast_code(device),
            "    .text : {",
            "        *(.text*) *(.rodata*)",
            *startup.tables,
            "        . = ALIGN(8);",
            f"    }} > {code}",
            f"    .ARM.exidx : {{ *(.ARM.exidx*) }} > {code}",
            *_data(device),
            *(
                f"    .{section} (NOLOAD) : ALIGN(8) {{ *(.{section}*) }} > {region}"
                for section, region in (
                    ("arena", device.arena_region),
                    ("fast_arena", device.fast_region),
                )
                if region is not None
            ),
            *(f"    {symbol};" for symbol in startup.symbols),
            "    /DISCARD/ : { *(.comment) *(.ARM.attributes) }",
            "}",
            "",
        ]
    )


def _data(device: Device) -> list[str]:
    """Return the sections of the data region: the stack first, then initialised and zeroed data."""
    code, data = device.code_region, device.data_region
    return [
        "    .stack (NOLOAD) : {",
        "        . = ALIGN(8);",
        "        port_stack_start = .;",
        f"        . += {device.stack_reserve_bytes};",
        "        port_stack_end = .;",
        f"    }} > {data}",
        "    .data : {",
        "        . = ALIGN(4);",
        "        port_data_start = .;",
        "        *(.data*)",
        "        . = ALIGN(4);",
        "        port_data_end = .;",
        f"    }} > {data} AT > {code}",
        "    port_data_load = LOADADDR(.data);",
        "    .bss (NOLOAD) : {",
        "        . = ALIGN(4);",
        "        port_bss_start = .;",
        "        *(.bss*) *(COMMON)",
        "        . = ALIGN(4);",
        "        port_bss_end = .;",
        f"    }} > {data}",
    ]


def _fast_code(device: Device) -> list[str]:
    """Return the section that start-up copies to fast memory.

    It precedes .text in the script, because the first pattern that matches takes a kernel.
    """
    if device.fast_code_region is None:
        return []
    return [
        "    .fast_code : {",
        "        . = ALIGN(4);",
        "        port_fast_code_start = .;",
        "        *(.fast_code.*)",
        "        . = ALIGN(4);",
        "        port_fast_code_end = .;",
        f"    }} > {device.fast_code_region} AT > {device.code_region}",
        "    port_fast_code_load = LOADADDR(.fast_code);",
    ]


def board_header(machine: Machine | None) -> str:
    """Return ``board.h``: serial line and MPU regions of an emulated board, if it has any.

    Only programs that are compiled with PORT_SERIAL may reach the serial line.

    Args:
        machine: emulated machine, or None for the device itself.

    Raises:
        FirmwareError: covering the memory takes more regions than an MPU has.
    """
    lines = [GENERATED, "#ifndef BOARD_H", "#define BOARD_H"]
    if machine is not None and machine.name in SERIAL_LINES:
        kind, address = SERIAL_LINES[machine.name]
        lines += [f"#define BOARD_SERIAL_{kind}", f"#define BOARD_SERIAL {address:#010x}u"]
    if machine is not None and machine.mpu:
        lines += _protection(machine)
    return "\n".join([*lines, "#endif", ""])


def _protection(machine: Machine) -> list[str]:
    """Return the lines that define the regions of the memory protection unit."""
    regions = [
        region
        for name, memory in machine.regions.items()
        for region in _mpu_regions(memory, executable=name in machine.executable)
    ]
    if len(regions) > MPU_MAX_REGIONS:
        raise FirmwareError(
            "memory sizes need too many protection regions",
            where="device.regions",
            got=len(regions),
            expected=f"at most {MPU_MAX_REGIONS}; use sizes that are sums of few powers of two",
        )
    rows = [f"    {{{base:#010x}u, {bits:#010x}u}}, \\" for base, bits in regions]
    permitted = (
        f"#define BOARD_MPU_SERIAL {{BOARD_SERIAL, {MPU_DEVICE | _mpu_size(SERIAL_PAGE):#010x}u}},"
        if len(regions) < MPU_MAX_REGIONS
        else '#error "the memory leaves no protection region for the serial line"'
    )
    return [
        "#ifdef PORT_SERIAL",
        permitted,
        "#else",
        "#define BOARD_MPU_SERIAL",
        "#endif",
        "#define BOARD_MPU_REGIONS { \\",
        *rows,
        "    BOARD_MPU_SERIAL \\",
        "}",
    ]


def _mpu_regions(region: MemoryRegion, *, executable: bool) -> list[tuple[int, int]]:
    """Return (base address, attributes) of the MPU regions that cover a memory region."""
    # An Armv7-M MPU region has 2^n bytes, n >= 5, and starts at a multiple of its size: the base
    # register holds the address bits above the size only, and the size field encodes n - 1 from 4
    # on. So each step takes the largest power of two that fits the remaining bytes and is aligned
    # at this address. What remains below 32 bytes cannot be permitted and faults, like everything
    # outside the device's memory: the cover never permits a byte too many.
    access = MPU_READ_EXECUTE if region.kind == "flash" else MPU_READ_WRITE
    access = MPU_READ_WRITE_EXECUTE if executable else access
    rows, address, remaining = [], region.origin, region.size_bytes
    while remaining >= MPU_MIN_BYTES:
        size = 1 << (remaining.bit_length() - 1)
        while address % size:
            size //= 2
        rows.append((address, access | _mpu_size(size)))
        address, remaining = address + size, remaining - size
    return rows


def _mpu_size(size: int) -> int:
    """Return the bits that enable an MPU region of 2^n bytes, with n - 1 in the size field."""
    return ((size.bit_length() - 2) << 1) | 1
