"""The ports of an exported network: its programs, and the files that fit them to network and chip.

The programs are the same for every network. They know it by the names of ``network.h``.
"""

from __future__ import annotations

from oplib.codegen.component import GENERATED, Component
from oplib.codegen.runtime import RUNTIME, definitions
from oplib.target.linker import (
    CORE_FLAGS,
    board_header,
    emulated_machine,
    is_emulated,
    linker_script,
)

MACROS = """
IMG_SIZE IN_CHANS CHANNEL_ORDER VALUE_MAX CROP RESIZE INPUT_BYTES ROW_BYTES FETCHES_ROWS NUM_CLASSES
CLASS_NAMES LOGIT_SCALE ARENA_BYTES FAST_ARENA_BYTES ALIGNED WEIGHTS_BYTES WEIGHTS_CRC32 DIGEST
NUM_CALLS CALL_NAMES DEVICE TEST_IMAGES OK NOT_YET NOT_INITIALISED ARENA_TOO_SMALL ARENA_UNALIGNED
OTHER_WEIGHTS WRONG_IMAGE NO_ROWS WRONG_RESULT
"""
SYMBOLS = """
context init input set_image run run_on restart logits class rows_from_rgb888 rows_from_rgb565
selftest test_image test_logits test_label
"""


def port_files(component: Component) -> dict[str, bytes]:
    """Return the content of each file of the ports' folder but its manifest."""
    device = component.device
    own = {name: device.region(name) for name in device.used_regions}
    files = {
        path.relative_to(RUNTIME / "port").as_posix(): path.read_bytes()
        for path in sorted((RUNTIME / "port").rglob("*"))
        if path.is_file()
    }
    texts = {
        "network.h": network_header(component),
        "target.cmake": target_settings(component),
        "device/device.ld": linker_script(device, own),
        "device/board.h": board_header(None),
    }
    if is_emulated(device):
        machine = emulated_machine(device)
        texts["emulated/emulated.ld"] = linker_script(device, machine.regions)
        texts["emulated/board.h"] = board_header(machine)
    return files | {name: text.encode() for name, text in texts.items()}


def network_header(component: Component) -> str:
    """Return ``network.h``: names of the network that do not depend on what it is called."""
    names = component.names
    lines = [GENERATED, "#ifndef NETWORK_H", "#define NETWORK_H", ""]
    lines += [f'#include "{names.file(".h")}"', ""]
    lines += [f"#define NETWORK_{name} {names.macro(name)}" for name in MACROS.split()]
    lines += [f"#define network_{name} {names.symbol(name)}" for name in SYMBOLS.split()]
    return "\n".join([*lines, "", "#endif", ""])


def target_settings(component: Component) -> str:
    """Return ``target.cmake``: the network's library, and the compiler's flags for the core."""
    device = component.device
    lines = [
        f"set(NETWORK {component.name})",
        f"set(NETWORK_CPU_FLAGS {CORE_FLAGS[device.core]})",
        f"set(NETWORK_DEFINITIONS {' '.join(definitions(device))})",
    ]
    return "\n".join([*lines, ""])
