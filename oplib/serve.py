"""``python -m oplib.serve PORT``: let a board run images, and compare it with the reference."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mcuformer.data.dataset import load
from mcuformer.errors import ArtifactError, DataError, FirmwareError, InternalError
from mcuformer.limits import ImageCount, PathText
from mcuformer.run import entry
from mcuformer.run.artifact import RunDir, file_digest, parsing, provenance, read_json, write_json
from mcuformer.run.progress import say, track
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from oplib.exportable import recorded_data
from oplib.network.reference import run_integer
from oplib.ops.base import Array
from oplib.target import qemu
from oplib.target.board_record import KIND, RECORD, BoardRecord, Spread
from oplib.target.firmware import COMPONENT, MANIFEST
from oplib.target.linker import emulated_machine
from oplib.target.predict import ExportedNetwork
from oplib.target.serial_line import BoardClient, BoardInfo, BoardRun, open_line

CONFIG_NAME = "oplib_serve"
PATIENCE_SECONDS, PATIENCE_FACTOR = 5.0, 20.0  # an emulator may take longer than the board


class ServeConfig(Value):
    """Configuration of a measurement on a board.

    Args:
        run_dir: directory of the run.
        port: serial port, for instance ``/dev/ttyACM0``, or ``socket://HOST:PORT``.
        images: number of steering images to send; of the built-in ones if the data are missing.
        baud: bits per second of the line.
        timeout: seconds until a request is sent again.
        retries: number of times that it is.
    """

    run_dir: PathText
    port: Annotated[str, Field(min_length=1, max_length=4096)]
    images: ImageCount = 16
    baud: Annotated[int, Field(ge=300, le=12_000_000)] = 115_200
    timeout: Annotated[float, Field(ge=0.01, le=60.0)] = 0.5
    retries: Annotated[int, Field(ge=0, le=1000)] = 10


def serve(config: ServeConfig) -> None:
    """Write ``board.json``.

    Raises:
        ArtifactError: the run has no export, or a file of it was changed since.
        ConfigError: there is no such port.
        FirmwareError: the board does not answer, runs another network, or fails.
        InternalError: its logits are not the reference's; ``board.json`` says of how many images.
    """
    run = RunDir(config.run_dir)
    exported, network = ExportedNetwork.of_run(run), network_digest(run)
    with open_line(config.port, config.baud) as line:
        client = BoardClient(line, config.port, config.timeout, config.retries)
        info = client.info()
        refuse_other_network(info, network, exported, config.port)
        images, images_from = images_to_send(run, exported, config.images)
        reference = run_integer(exported.saved.integer, images)
        patience = patience_seconds(exported)
        runs = [
            client.run_image(info, image.tobytes(), patience) for image in track(images, "board")
        ]
    different = [
        not np.array_equal(row, each.logits) for row, each in zip(reference, runs, strict=True)
    ]
    cycles = Spread.of(cycles_of(runs, info, exported))
    record = BoardRecord(
        device=info.device,
        emulated=info.emulated,
        port=config.port,
        baud=config.baud,
        images=len(images),
        images_from=images_from,
        equal=not any(different),
        different_images=sum(different),
        cycles=cycles,
        clock_hz=info.clock_hz or None,
        milliseconds=None if info.emulated else cycles.scaled(1e3 / info.clock_hz),
        stack_bytes=max(each.stack_bytes for each in runs),
        requests=client.requests,
        repeated=client.repeated,
        refused=client.refused,
        network=network,
        export=file_digest(run.file("export.json")),
        measured=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **provenance(),
    )
    with run.locked():
        write_json(run.file(RECORD), KIND, record.dump())
    say(record.describe())
    if not record.equal:
        raise InternalError(
            "the board's logits do not equal the numpy reference's",
            where=config.port,
            got=f"{record.different_images} of {record.images} images that differ",
        )


def network_digest(run: RunDir) -> str:
    """Return the digest that names the network of a run's firmware.

    Raises:
        ArtifactError: the firmware is missing, or was changed since it was exported.
    """
    folder = run.file(COMPONENT)
    run.refuse_changed([folder])
    content = read_json(folder / MANIFEST, "firmware")
    with parsing(folder / MANIFEST):
        return str(content["digest"])


def images_to_send(
    run: RunDir, exported: ExportedNetwork, count: int
) -> tuple[Array, Literal["steering", "built-in"]]:
    """Return raw pixels (B, H, W, C) to send, and where they are from.

    The steering images are those of the export. If their data are missing, or the export took its
    integers from elsewhere, the images that it built into the firmware are taken.

    Raises:
        ArtifactError: the export's record is missing, or there are neither images.
    """
    data = recorded_data(run)
    try:
        if data is not None:
            dataset = load(data, exported.saved.subnet.img_size)
            return dataset.steering.images[:count], "steering"
    except DataError as error:
        say(f"the firmware's own images are sent, because of the data: {error}")
    return built_in_images(run, exported.saved.subnet)[:count], "built-in"


def built_in_images(run: RunDir, subnet: SubnetConfig) -> Array:
    """Return the images (B, H, W, C) that an export has built into the firmware.

    Raises:
        ArtifactError: there are none.
    """
    folder = run.file(COMPONENT)
    content = read_json(folder / MANIFEST, "firmware")
    with parsing(folder / MANIFEST):
        path = folder / f"{content['name']}_test.bin"
    pixels = _bytes(path)
    shape = (-1, subnet.img_size, subnet.img_size, subnet.in_chans)
    with parsing(path):
        return np.frombuffer(pixels, np.uint8).reshape(shape)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            "no built-in images; give the data that the export had", where=path
        ) from error


def refuse_other_network(
    info: BoardInfo, network: str, exported: ExportedNetwork, port: str
) -> None:
    """Refuse a board that runs another network than the run's, or the same for another device.

    Raises:
        FirmwareError: with both names.
    """
    device = exported.target.device
    for what, got, expected in (
        ("the board runs another network", info.digest, network),
        ("the board's network is for another device", info.device, device.name),
    ):
        if got != expected:
            raise FirmwareError(
                f"{what} than the run exported; flash the run's",
                where=port,
                got=got,
                expected=expected,
            )
    if not info.emulated and info.clock_hz != device.clock_hz:
        say(f"the board's clock is {info.clock_hz:,} Hz, the device's {device.clock_hz:,}")


def patience_seconds(exported: ExportedNetwork) -> float:
    """Return how long an image may take on the board, in seconds."""
    modelled = exported.target.cost(exported.saved.subnet)
    milliseconds = modelled.ms_high or modelled.macs / 1e3  # a million of them per second
    return PATIENCE_SECONDS + PATIENCE_FACTOR * milliseconds / 1e3


def cycles_of(runs: Sequence[BoardRun], info: BoardInfo, exported: ExportedNetwork) -> list[float]:
    """Return the cycles of each image; of an emulated board, the instructions."""
    ticks = np.array([each.ticks for each in runs])
    if info.emulated:
        ticks = qemu.instructions(ticks, emulated_machine(exported.target.device))
    return [float(count) for count in ticks]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, whose first argument may be the port; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and not given[0].startswith("-") and "=" not in given[0].partition("://")[0]:
        given[0] = f"port={given[0]}"
    return entry.run(CONFIG_NAME, ServeConfig, serve, given)


if __name__ == "__main__":
    sys.exit(main())
