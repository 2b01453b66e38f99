"""Send images to emulated boards over a serial line that corrupts, truncates and adds bytes.

    python tools/serial_faults.py [BOARD ...] [--images N] [--seed S] [--json]

Networks with random weights serve on QEMU's boards, one that takes whole images and one that takes
strips. Between them and the client of `python -m oplib.serve` everything that is written and read
passes through a source of faults. Every image must give the reference's logits; what the line
damaged is refused on one of its sides and asked for again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tool
from bench_network import preprocessing, vit
from tool import Parser, Table

from mcuformer.device import Device
from mcuformer.errors import ConfigError
from mcuformer.run.presets import load
from mcuformer.run.progress import track
from mcuformer.subnet import BlockConfig
from oplib.codegen.component import Component
from oplib.forms import DEFAULT_FORMS, Forms, Passes
from oplib.network.reference import run_integer
from oplib.network.vit import float_model, random_weights
from oplib.ops.base import Array
from oplib.plan.schedule import schedule
from oplib.quantize.lower import quantize
from oplib.target import serving
from oplib.target.firmware import write_firmware
from oplib.target.linker import emulated_machine
from oplib.target.serial_line import BoardClient, Line, open_line

TIMEOUT, RETRIES = 0.05, 200
BYTE_CHANGES, CUT, NOISE = 0.001, 0.03, 0.05  # of a byte; of what is sent or read at once
NOISE_BYTES = 40
PATIENCE = 20.0  # seconds for an image
BLOCK = BlockConfig(num_heads=2, head_dim=16, mlp_ratio=2.0)
STRIPS = Forms(passes=Passes(input="strip"))


@dataclass(frozen=True)
class Case:
    """A board, and how its network takes images."""

    device: Device
    forms: Forms


def netduino() -> Device:
    """Return the F405 without its CCM, which QEMU's model of the chip lacks."""
    chip = load("device", "stm32f405", Device)
    emulation = {"machine": "netduinoplus2", "clock_hz": chip.clock_hz}
    return Device.parse({**chip.dump(), "fast_region": None, "emulation": emulation})


def cases() -> list[Case]:
    """Return a UART of Arm's and two USARTs of ST's, with both kinds of networks."""
    return [
        Case(load("device", "stm32f746", Device), STRIPS),
        Case(netduino(), DEFAULT_FORMS),
        Case(load("device", "stm32f100", Device), DEFAULT_FORMS),
    ]


class FaultyLine:
    """A line that now and then changes a byte, cuts what passes short, or adds noise.

    Args:
        line: the sound line.
        rng: source of the faults.
        faults: how many of each kind there were.
    """

    def __init__(self, line: Line, rng: np.random.Generator) -> None:
        self.line, self.rng = line, rng
        self.faults: Counter[str] = Counter()

    @property
    def in_waiting(self) -> int:
        """Number of bytes that have come."""
        return self.line.in_waiting

    def read(self, size: int) -> bytes:
        """Return what came, or what is left of it."""
        return self._spoilt(self.line.read(size))

    def write(self, data: bytes) -> int | None:
        """Send bytes, or what is left of them."""
        return self.line.write(self._spoilt(data))

    def _spoilt(self, data: bytes) -> bytes:
        if not data:
            return data
        values = np.frombuffer(data, np.uint8).copy()
        hit = self.rng.random(len(values)) < BYTE_CHANGES
        values[hit] = self.rng.integers(0, 256, int(hit.sum()))
        self.faults["changed"] += int(hit.sum())
        share = len(values) / 64  # chances are for frames of some 64 bytes, however they come
        if self.rng.random() < CUT * share:
            values = values[: int(self.rng.integers(0, len(values)))]
            self.faults["cut"] += 1
        noise = b""
        if self.rng.random() < NOISE * share:
            count = int(self.rng.integers(1, NOISE_BYTES))
            noise = self.rng.integers(0, 256, count).astype(np.uint8).tobytes()
            self.faults["noise"] += 1
        return noise + values.tobytes()


def send(case: Case, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Send images to one board and return what happened."""
    rng, device = np.random.default_rng(seed), case.device
    subnet = vit((16, 4, 1), 32, BLOCK, 2)
    shape = (count, subnet.img_size, subnet.img_size, subnet.in_chans)
    pixels: Array = rng.integers(0, 256, shape).astype(np.uint8)
    pre = preprocessing(subnet)
    weights = random_weights(subnet, rng)
    model = quantize(float_model(subnet, weights, pre, "random weights", case.forms), pixels[:4])
    classes = [str(index) for index in range(subnet.num_classes)]
    write_firmware(folder, Component(model, schedule(subnet, case.forms), device, classes))
    elf = serving.build(folder, folder / "build")
    reference, started = run_integer(model, pixels), time.monotonic()
    with serving.emulated_line(elf, device) as url, open_line(url, 115_200) as sound:
        line = FaultyLine(sound, rng)
        client = BoardClient(line, url, TIMEOUT, RETRIES)
        info = client.info()
        equal = sum(
            np.array_equal(client.run_image(info, image.tobytes(), PATIENCE).logits, logits)
            for image, logits in track(list(zip(pixels, reference, strict=True)), device.name)
        )
    return {
        "board": emulated_machine(device).name,
        "device": device.name,
        "strips": info.fetches_rows,
        "images": count,
        "equal": equal,
        "requests": client.requests,
        "repeated": client.repeated,
        "refused": client.refused,
        **{name: line.faults[name] for name in ("changed", "cut", "noise")},
        "seconds": round(time.monotonic() - started, 1),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Send images to all boards."""
    tool.require_at_least(1, images=options.images)
    known = {emulated_machine(case.device).name: case for case in cases()}
    for name in options.boards:
        if name not in known:
            raise ConfigError("no such board", where="BOARD", got=name, expected=", ".join(known))
    rows = []
    for case in (known[name] for name in options.boards or known):
        with tempfile.TemporaryDirectory(prefix="mcuformer-serial-") as name:
            rows.append(send(case, options.images, options.seed, Path(name)))
    return {"seed": options.seed, "rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per board."""
    names = ("images", "equal", "requests", "repeated", "refused", "changed", "cut", "noise")
    rows = [
        (row["board"], "strips" if row["strips"] else "whole", *(f"{row[name]}" for name in names))
        for row in result["rows"]
    ]
    return [Table(("board", "image", *names), rows, words=2)]


def wrong(result: dict[str, Any]) -> bool:
    """Return whether an image gave other logits than the reference's."""
    return any(row["equal"] != row["images"] for row in result["rows"])


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("boards", nargs="*", metavar="BOARD", help="machines of QEMU's")
    parser.add_argument("--images", type=int, default=200, help="images per board")
    parser.add_argument("--seed", type=int, default=0, help="seed of networks, images and faults")
    return tool.run(parser, measure, tables, wrong)


if __name__ == "__main__":
    raise SystemExit(main())
