"""Linker script and settings of a board that starts with its vendor's own code.

The start-up code and the vectors of ST's CMSIS device package name their symbols otherwise than
``port/cortex_m/startup.c``; where code, weights, arenas and stack lie is the same.
"""

from __future__ import annotations

from mcuformer.device import Device
from oplib.codegen.model_c import GENERATED
from oplib.target.linker import CPU_FLAGS


def text(device: Device) -> str:
    """Return ``device.ld``, the linker script of a board's folder.

    The symbols are those of ST's ``startup_*.s`` (``_sidata`` to ``_estack``) and of newlib's
    ``__libc_init_array``; the ``port_`` ones are for ``port/stm32/stm32.c``. The stack is the first
    thing in its region, as in :func:`oplib.target.linker.linker_script`.
    """
    code, data = device.code_region, device.data_region
    regions = {name: device.region(name) for name in device.used_regions}
    lines = [
        GENERATED,
        "MEMORY",
        "{",
        *(
            f"    {name} ({'rx' if region.kind == 'flash' else 'rwx'}) : "
            f"ORIGIN = {region.origin:#010x}, LENGTH = {region.size_bytes}"
            for name, region in regions.items()
        ),
        "}",
        "ENTRY(Reset_Handler)",
        "SECTIONS",
        "{",
        f"    .isr_vector : {{ KEEP(*(.isr_vector)) . = ALIGN(4); }} > {code}",
        *_weights(device),
        *_fast_code(device),
        "    .text : {",
        "        *(.text*) KEEP(*(.init)) KEEP(*(.fini)) *(.rodata*)",
        *_function_table("preinit_array"),
        *_function_table("init_array"),
        *_function_table("fini_array"),
        "        . = ALIGN(8);",
        f"    }} > {code}",
        f"    .ARM.exidx : {{ *(.ARM.exidx*) }} > {code}",
        "    .stack (NOLOAD) : {",
        "        . = ALIGN(8);",
        "        port_stack_start = .;",
        f"        . += {device.stack_reserve_bytes};",
        "        port_stack_end = .;",
        "        _estack = .;",
        f"    }} > {data}",
        "    .data : {",
        "        . = ALIGN(4);",
        "        _sdata = .;",
        "        *(.data*)",
        "        . = ALIGN(4);",
        "        _edata = .;",
        f"    }} > {data} AT > {code}",
        "    _sidata = LOADADDR(.data);",
        "    .bss (NOLOAD) : {",
        "        . = ALIGN(4);",
        "        _sbss = .;",
        "        *(.bss*) *(COMMON)",
        "        . = ALIGN(4);",
        "        _ebss = .;",
        f"    }} > {data}",
        f"    .arena (NOLOAD) : {{ . = ALIGN(8); *(.arena*) }} > {device.arena_region}",
    ]
    if device.fast_region is not None:
        lines += [
            f"    .fast_arena (NOLOAD) : {{ . = ALIGN(8); *(.fast_arena*) }} > {device.fast_region}"
        ]
    lines += ["    /DISCARD/ : { *(.comment) *(.ARM.attributes) }", "}", ""]
    return "\n".join(lines)


def settings(device: Device) -> str:
    """Return ``device.cmake``: the core's flags, and where the weights are flashed apart."""
    fast = " -DOPLIB_FAST_CODE_SECTION" if device.fast_code_region is not None else ""
    apart = _weights_apart(device)
    address = "" if apart is None else f"{device.region(apart).origin:#010x}"
    return "\n".join(
        [
            f"set(BOARD_CPU_FLAGS {CPU_FLAGS[device.core]}{fast})",
            f'set(BOARD_WEIGHTS_ADDRESS "{address}") # empty: the weights are among the code',
            "",
        ]
    )


def _weights_apart(device: Device) -> str | None:
    """Return the region of the weights if the code's is another one."""
    return None if device.weights_region == device.code_region else device.weights_region


def _weights(device: Device) -> list[str]:
    """Return the section of weights outside the code's region."""
    region = _weights_apart(device)
    if region is None:  # .text takes them with the rest of .rodata
        return []
    return [f"    .weights : {{ . = ALIGN(8); *(.rodata.oplib_weights*) }} > {region}"]


def _fast_code(device: Device) -> list[str]:
    """Return the section that the port copies to fast memory before main()."""
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


def _function_table(name: str) -> list[str]:
    """Return the table of functions that newlib calls before main(), with its ends."""
    return [
        "        . = ALIGN(4);",
        f"        PROVIDE_HIDDEN(__{name}_start = .);",
        f"        KEEP(*(SORT(.{name}.*))) KEEP(*(.{name}))",
        f"        PROVIDE_HIDDEN(__{name}_end = .);",
    ]
