"""A network that serves on the emulator: the same programs and protocol as on a board."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcuformer.device import Device
from mcuformer.errors import FirmwareError
from oplib.target.board import cross_build
from oplib.target.linker import OPTIMIZE, emulated_machine
from oplib.target.qemu import TOOLS, emulator_command
from oplib.target.tools import require

START_SECONDS = 20.0


def build(folder: Path, build_dir: Path, program: str = "serve") -> Path:
    """Compile an exported network for the emulated machine, to serve on its serial line.

    Args:
        folder: what :func:`oplib.target.firmware.write_firmware` wrote.
        build_dir: folder of the build, created if missing.
        program: ``serve``, or ``demo``, which runs the built-in images first.

    Raises:
        ToolMissingError: CMake, the cross-compiler or the emulator is not installed.
        FirmwareError: the build failed; a network larger than the memory fails to link.
    """
    require(*TOOLS)
    settings = (f"-DMODEL_PROGRAM={program}",)
    return cross_build(folder, build_dir, "emulated", OPTIMIZE, settings)


@contextmanager
def emulated_line(elf: Path, device: Device) -> Iterator[str]:
    """Run a program on the emulator, and yield the URL of its serial line.

    Raises:
        FirmwareError: the emulator does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    serial = f"tcp:127.0.0.1:{port},server=on,wait=off,nodelay=on"
    command = emulator_command(elf, emulated_machine(device).name, serial)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield f"socket://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise FirmwareError("did not start", where="qemu-system-arm")
