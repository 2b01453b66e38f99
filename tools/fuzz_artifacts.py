"""Artefacts of runs for tools/fuzz_files.py: valid files of every kind, and what reads them."""

from __future__ import annotations

import json
import multiprocessing
from functools import cache
from pathlib import Path

import numpy as np
import torch
from fuzz_data import Target

from evolve.searched_points import SearchedPoints
from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.study import Study
from evolve.subnet_search.task import Search, Task
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.inspection import inspect_run
from mcuformer.report.page import write_run_page
from mcuformer.run.artifact import RunDir, Stage, file_digest, save_arrays, write_json
from mcuformer.run.presets import load
from mcuformer.run.threads import run_threads
from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.codegen.component import Component
from oplib.network.model_file import save_model
from oplib.network.reference import run_float, run_integer
from oplib.network.source import LearnedScales, NetworkSource, save_learned
from oplib.network.vit import float_model, random_weights
from oplib.ops.base import Array
from oplib.quantize.lower import quantize
from oplib.target.board_record import KIND, RECORD, BoardRecord, Spread
from oplib.target.built import built_content
from oplib.target.firmware import refuse_foreign_files, write_firmware
from oplib.target.predict import ExportedNetwork
from oplib.target.target import Target as Board
from supernet.checkpoint import Snapshot, load_model, model_arrays
from supernet.convert import ReleasedCheckpoint
from supernet.initialize import initialize
from supernet.metrics import read_rows
from supernet.model import Supernet
from supernet.vit import Vit

PREPROCESSING = Preprocessing(
    img_size=4, channel_order="L", value_max=16, mean=(0.4,), std=(0.5,), resize="box"
)
SUBNET = SubnetConfig(
    img_size=4,
    patch_size=2,
    in_chans=1,
    num_classes=2,
    embed_dim=8,
    blocks=(BlockConfig(num_heads=1, head_dim=4, mlp_ratio=1.0),),
)
SPACE = SearchSpace(
    img_size=(4,),
    in_chans=1,
    num_classes=2,
    rank_ratio=(1.0,),
    patch_size=(2,),
    embed_dim=(8,),
    depth=(1,),
    num_heads=(1,),
    mlp_ratio=(1.0,),
    head_dim=4,
)
POINT = SPACE.points()[0]
NAMES = ("cat", "dog")
EXPORT_STAGE = "oplib.export"


@cache
def images() -> Array:
    """Return ten random images (B, H, W, C)."""
    return np.random.default_rng(0).integers(0, 17, (10, 4, 4, 1)).astype(np.uint8)


def write_export(folder: Path) -> None:
    """Write what an export leaves, but for the firmware and for the record of the stage."""
    board = Board(load("device", "stm32f100", Device))
    weights = random_weights(SUBNET, np.random.default_rng(0))
    floating = float_model(SUBNET, weights, PREPROCESSING, "random")
    integer = quantize(floating, images())
    save_model(folder, integer, SUBNET, board.forms, NAMES)
    save_arrays(folder / "model.safetensors", weights)
    write_json(folder / "finetuned_subnet.json", "subnet", SUBNET.dump())
    save_learned(
        RunDir(folder),
        SUBNET,
        {f"{node}|{kind}": a for node, p in floating.params.items() for kind, a in p.items()},
        LearnedScales(board.forms, integer.quant),
    )
    content = {
        "network": NetworkSource().dump(),
        "device": board.device.dump(),
        "budget": BudgetConfig().dump(),
        "limit_bytes": [board.limit.sram_bytes, board.limit.flash_bytes],
        "brightness": [0.5, 0.1],
        "accuracy_percent": {"float": 50.0, "int8": 50.0},
        "calibration_images": 10,
        "footprint": board.cost(SUBNET).footprint.dump(),
        "time": None,
        "bit_exact": {"host": True, "emulated": None},
        "check_images": 10,
        "not_verified": ["emulated chip"],
        **built_content(None),
    }
    write_json(folder / "export.json", "export", content)


def read_export(folder: Path) -> None:
    """Read the networks as ``predict`` does, up to the C, and run them."""
    run = RunDir(folder)
    exported = ExportedNetwork.of_run(run)
    run_integer(exported.saved.integer, images())
    run_float(exported.floating, images())
    learned = NetworkSource(name="qat").read(run)
    run_float(learned.float_model(PREPROCESSING), images())


def write_run(folder: Path) -> None:
    """Write a run of one recorded stage, with what a board measured of it."""
    write_export(folder)
    run = RunDir(folder)
    write_json(run.file(RECORD), KIND, board_record(run).dump())
    stage = Stage(EXPORT_STAGE, {"seed": 0}, (), ("export.json", "model_int8.json"))
    run.run_stage(stage, lambda: None)


def board_record(run: RunDir) -> BoardRecord:
    """Return what a board could have measured of a run."""
    return BoardRecord(
        device="stm32f100",
        emulated=False,
        port="/dev/ttyACM0",
        baud=115_200,
        images=10,
        images_from="steering",
        equal=True,
        different_images=0,
        cycles=Spread.of([48_000.0]),
        clock_hz=24_000_000,
        milliseconds=Spread.of([2.0]),
        stack_bytes=600,
        requests=31,
        repeated=0,
        refused=0,
        network="0" * 64,
        export=file_digest(run.file("export.json")),
        measured="2026-01-01T00:00:00Z",
        git_revision="unknown",
        versions={},
    )


def read_run(folder: Path) -> None:
    """Ask whether the run's stage is complete, inspect the run, and make its page."""
    run = RunDir(folder)
    run.refuse_changed(folder.iterdir())
    run.why_stale(Stage(EXPORT_STAGE, {"seed": 0}, (), ("export.json", "model_int8.json")))
    inspect_run(str(folder))
    write_run_page(run)


def write_firmware_folder(folder: Path) -> None:
    """Write a firmware folder and what it was made from."""
    write_export(folder)
    exported = ExportedNetwork.of_run(RunDir(folder))
    saved, board = exported.saved, exported.target
    scheduled = board.schedule(SUBNET)
    write_firmware(folder, Component(saved.integer, scheduled, board.device, NAMES))
    for path in folder.glob("*.*"):
        path.unlink()


def read_firmware_folder(folder: Path) -> None:
    """Ask whether the folder may be replaced."""
    refuse_foreign_files(folder)


def write_supernet(folder: Path) -> None:
    """Write a supernet, as supernet.train does."""
    torch.manual_seed(0)
    supernet = Supernet(SPACE, POINT, (0.0,))
    save_arrays(folder / "supernet.safetensors", model_arrays(supernet))
    content = {"point": None, "space": SPACE.dump(), "epochs": 1}
    write_json(folder / "supernet.json", "supernet", content)
    write_json(folder / "space.json", "space", {"point": POINT.dump()})


def read_supernet(folder: Path) -> None:
    """Load it, as evolve.search does."""
    searched = SearchedPoints.of_run(RunDir(folder), "point")
    supernet = Supernet(searched.space, searched.points[0], (0.0,))
    load_model(supernet, folder / "supernet.safetensors")


def write_checkpoint(folder: Path) -> None:
    """Write a checkpoint of a small network."""
    torch.manual_seed(0)
    vit = Vit(SUBNET, (0.0,))
    optimizer = torch.optim.AdamW(vit.parameters())
    vit(torch.zeros(1, 1, 4, 4)).sum().backward()
    optimizer.step()
    Snapshot.take({"step": 1, "task": "x", "environment": {}}, vit, optimizer, vit).save(
        folder / "partial_00000001"
    )


def read_checkpoint(folder: Path) -> None:
    """Load and restore it."""
    vit = Vit(SUBNET, (0.0,))
    optimizer = torch.optim.AdamW(vit.parameters())
    snapshot = Snapshot.load(folder / "partial_00000001", vit, average=True)
    snapshot.restore(vit, optimizer, vit)


def write_dense(folder: Path) -> None:
    """Write the weights of a dense network, which a supernet can start from."""
    torch.manual_seed(0)
    save_arrays(folder / "dense.safetensors", model_arrays(Vit(SUBNET, (0.0,))))


def read_dense(folder: Path) -> None:
    """Start a supernet from it."""
    initialize(Supernet(SPACE, POINT, (0.0,)), folder / "dense.safetensors")


def write_released(folder: Path) -> None:
    """Write a file of tensors in torch's own format."""
    tensors = {"patch_embed_super.proj.weight": torch.zeros(8, 1, 2, 2)}
    torch.save({"model": tensors}, folder / "supernet.pth")


def read_released(folder: Path) -> None:
    """Open it, as tools/convert_checkpoint.py does."""
    ReleasedCheckpoint(folder / "supernet.pth")


def write_metrics(folder: Path) -> None:
    """Write the rows of a training and a run's number of threads."""
    rows = [{"step": 2, "epoch": 1, "loss": 2.0}, {"step": 4, "epoch": 2, "loss": 1.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "threads.json", "threads", {"threads": 1})


def read_metrics(folder: Path) -> None:
    """Read them."""
    read_rows(folder / "metrics.jsonl")
    run_threads(RunDir(folder), None)


def evaluate(task: Task) -> Candidate:
    """Return a made-up evaluation."""
    return Candidate(task.proposal, 50.0, 100, 200)


def study(folder: Path) -> None:
    """Open the study in a folder, or make it, and evaluate the space's only subnet."""
    limit = Budget.of(BudgetConfig(), load("device", "stm32f100", Device))
    problem = Problem(SPACE, SPACE.points()[:1], lambda subnet: True, limit)
    search = Search(RandomConfig(samples=1), problem, seed=0)  # a second draw would be in vain
    Study(str(folder / "journal.log"), {"seed": 0}, search, {"threads": 1}).work(evaluate)


def write_study(folder: Path) -> None:
    """Make the study in a process that ends, as those of a user's files have."""
    process = multiprocessing.get_context("fork").Process(target=study, args=(folder,))
    process.start()
    process.join()


ARTIFACT_TARGETS: dict[str, Target] = {
    "export": (write_export, read_export),
    "run": (write_run, read_run),
    "firmware": (write_firmware_folder, read_firmware_folder),
    "supernet": (write_supernet, read_supernet),
    "checkpoint": (write_checkpoint, read_checkpoint),
    "metrics": (write_metrics, read_metrics),
    "study": (write_study, study),
    "dense network": (write_dense, read_dense),
    "released checkpoint": (write_released, read_released),
}
