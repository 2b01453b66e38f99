"""``python -m oplib.serve``: an exported network on an emulated board, and what boards do wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_board import FakeBoard

from mcuformer.device import Device
from mcuformer.inspection import inspect_run
from mcuformer.report.terminal import board_rows
from mcuformer.run.artifact import RunDir, save_arrays
from mcuformer.subnet import SubnetConfig
from oplib import serve
from oplib.export import EXPORT
from oplib.network.reference import run_integer
from oplib.network.timm_vit import TimmVit
from oplib.network.vit import random_weights
from oplib.target import serving
from oplib.target.board_record import BoardRecord, current_record
from oplib.target.predict import ExportedNetwork

VIT = {
    "img_size": 8,
    "patch_size": 4,
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": 16,
    "depth": 1,
    "num_heads": 2,
    "mlp_ratio": 2.0,
    "class_token": False,
    "global_pool": "avg",
}
Refusal = Callable[[FakeBoard], tuple[int, str]]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run whose network was exported without building it."""
    folder = tmp_path_factory.mktemp("served")
    subnet = TimmVit.parse(VIT).subnet()
    (folder / "vit.yaml").write_text(yaml.safe_dump(VIT))
    save_arrays(folder / "w.safetensors", random_weights(subnet, np.random.default_rng(0)))
    network = [f"weights={folder / 'w.safetensors'}", f"vit={folder / 'vit.yaml'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        assert EXPORT.main([*network, f"run_dir={folder / 'run'}"]) == 0
    return RunDir(folder / "run")


@pytest.fixture
def refusal(
    exported: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Refusal]:
    """Return a function that lets the command meet a board: its exit code and its one line."""
    path = exported.file("board.json")
    path.unlink(missing_ok=True)

    def call(board: FakeBoard) -> tuple[int, str]:
        @contextmanager
        def line(port: str, baud: int) -> Iterator[FakeBoard]:
            yield board

        monkeypatch.setattr(serve, "open_line", line)
        code = serve.main(["a_port", f"run_dir={exported.path}", "images=4"])
        (message,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
        return code, message

    yield call
    path.unlink(missing_ok=True)


def digest_of(run: RunDir) -> str:
    return re.search(r'_DIGEST\s+\\?\s*"(\w+)"', run.file("firmware/model.h").read_text())[1]


@pytest.mark.usefixtures("emulator_tools")
def test_an_emulated_board_computes_the_references_logits(
    exported: RunDir, stm32f100: Device, tmp_path: Path
) -> None:
    elf = serving.build(exported.path, tmp_path)
    with serving.emulated_line(elf, stm32f100) as url:
        assert serve.main([url, f"run_dir={exported.path}", "images=3"]) == 0
    record = current_record(exported)
    assert record is not None
    macs = ExportedNetwork.of_run(exported).saved.subnet.macs
    assert (record.equal, record.emulated, record.images) == (True, True, 3)
    assert (record.milliseconds, record.clock_hz) == (None, None)
    assert (record.device, record.images_from) == ("stm32f100", "steering")
    assert macs < record.cycles.min <= record.cycles.median <= record.cycles.max < 10 * macs
    assert 100 < record.stack_bytes <= stm32f100.stack_reserve_bytes
    assert record.requests == 1 + 3 * 3  # WRITE, RUN, READ
    assert record.network == digest_of(exported)
    content = json.loads(exported.file("board.json").read_text())
    assert content["format"] == "mcuformer/board"


def board_of(exported: RunDir, difference: int) -> FakeBoard:
    """Return a board that computes the run's network, with an error in the last logit."""
    network = ExportedNetwork.of_run(exported).saved.integer

    def logits(image: bytes) -> np.ndarray:
        pixels = np.frombuffer(image, np.uint8).reshape(1, 8, 8, 1)
        return run_integer(network, pixels)[0] + difference * np.eye(10, dtype=int)[9]

    return FakeBoard(logits=logits).says(digest=digest_of(exported))


def test_other_logits_are_a_contradiction(exported: RunDir, refusal: Refusal) -> None:
    code, line = refusal(board_of(exported, 1))
    assert code == 3
    assert line.endswith("numpy reference's (got 4 of 4 images that differ)")
    record = current_record(exported)
    assert record is not None
    assert (record.equal, record.different_images) == (False, 4)
    assert (record.clock_hz, record.cycles.median) == (24_000_000, 48_000)
    assert record.milliseconds is not None
    assert record.milliseconds.median == 2.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digest": "e" * 64}, "runs another network than the run exported; flash the run's"),
        ({"device": "stm32f746"}, r"for another device .* \(got stm32f746, expected stm32f100\)"),
        ({"status": -4}, "the weights in flash are not those of the code"),
    ],
)
def test_a_board_with_something_else_is_refused(
    exported: RunDir, refusal: Refusal, changes: dict[str, object], message: str
) -> None:
    code, line = refusal(board_of(exported, 0).says(**changes))
    assert code == 2
    assert re.search(message, line)
    assert not exported.file("board.json").exists()


def test_what_is_missing_is_named(
    exported: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("serial")
    for arguments, message in (
        (["/dev/none", f"run_dir={exported.path}"], "error: port: cannot be opened: "),
        (["/dev/none", f"run_dir={tmp_path}"], "export.json: no such file"),
        (["/dev/none"], "error: run_dir: missing; give run_dir=..."),
        ([f"run_dir={exported.path}"], "error: port: missing; give port=..."),
        (["/dev/none", f"run_dir={exported.path}", "baud=1"], "error: baud: out of range"),
    ):
        assert serve.main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_a_measurement_of_an_earlier_export_does_not_count(
    exported: RunDir, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal(board_of(exported, 1))
    path = exported.file("board.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"export": "0" * 64}))
    assert current_record(exported) is None
    assert "measured on an earlier export; run oplib.serve again" in capsys.readouterr().err


def test_the_firmwares_own_images_stand_in_for_missing_data(
    small_subnet: SubnetConfig, tmp_path: Path
) -> None:
    """Three images of 8 x 8 in the file that the manifest's name tells."""
    run = RunDir(tmp_path)
    folder = tmp_path / "firmware"
    folder.mkdir()
    head = {"format": "mcuformer/firmware", "format_version": 1}
    (folder / "manifest.json").write_text(json.dumps(head | {"name": "digits"}))
    (folder / "digits_test.bin").write_bytes(bytes(range(192)))
    images = serve.built_in_images(run, small_subnet)
    assert images.shape == (3, 8, 8, 1)
    assert images[2, 7, 7, 0] == 191


def test_a_record_tells_its_result(
    exported: RunDir, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal(board_of(exported, 1))
    record = current_record(exported)
    assert isinstance(record, BoardRecord)
    assert record.describe() == (
        "stm32f100, a board at a_port: 4 images differ on 4 images, "
        "48,000 cycles, 2.0 ms per image, stack 300 bytes"
    )
    assert board_rows(record) == [
        ("milliseconds, board", "2.0", "OTHER LOGITS"),
        ("SRAM: stack, board", "300", ""),
    ]
    emulated = record.model_copy(update={"emulated": True, "equal": True, "milliseconds": None})
    assert board_rows(emulated)[0] == ("instructions, emulated board", "48,000", "")
    assert board_rows(None) == []
    capsys.readouterr()
    inspect_run(str(exported.path))
    assert capsys.readouterr().out.splitlines()[-1] == record.describe()
