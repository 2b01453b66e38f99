"""Run directories of finished runs, written by hand, for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcuformer.run.artifact import RunDir, file_digest, write_json

SUBNET = {"img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 32}
BLOCK = {"num_heads": 2, "head_dim": 16, "mlp_ratio": 2.0}
DATA = {
    "format": "digits",
    "test_fraction": 0.2,
    "steering_fraction": 0.2,
    "split_seed": 0,
}
STAGES = ("oplib.export", "report")


def finished_run(path: Path, **changed: Any) -> RunDir:
    """Write the records of a finished run; `changed` are fields of its report."""
    run = RunDir(path)
    report: dict[str, Any] = {
        "device": "stm32f100",
        "data": "digits",
        "seed": 3,
        "space": {"rank_ratio": 0.5, "patch_size": 4},
        "subnet": {**SUBNET, "blocks": [BLOCK]},
        "accuracy_percent": {
            "inherited": 95.0,
            "float": 98.5,
            "int8": 98.25,
            "host": 98.25,
            "emulated": None,
        },
        "num_images": {"int8": 400, "host": 400, "emulated": 0},
        "bit_exact": {"host": True, "emulated": None},
        "admission": {"sampled": 9, "sram": 1, "flash": 2, "both": 3, "time": 0, "admitted": 3},
        "sram_bytes": {
            "arena_planned": 1792,
            "fast_arena_planned": 0,
            "staged_planned": 0,
            "arena_linked": None,
            "fast_arena_linked": None,
            "static": None,
            "stack_high_water": None,
            "total": None,
            "stack_bound": None,
            "budget": 8192,
        },
        "flash_bytes": {"weights": None, "code": None, "total": None, "budget": 131072},
        "macs": 302720,
        "instructions": None,
        "time": None,
        "limit_ms": None,
        "not_verified": ["emulated chip not verified: no qemu"],
        **changed,
    }
    write_json(run.file("report_measured.json"), "report", report)
    seconds = dict.fromkeys(STAGES, 2.5)
    write_json(run.file("report.json"), "report", {**report, "seconds": seconds})
    footprint = {"arena_bytes": 1792, "fast_bytes": 0, "static_bytes": 20, "stack_bytes": 768}
    footprint |= {"weights_bytes": 90576, "code_bytes": 17432, "staged_bytes": 0}
    write_json(run.file("export.json"), "export", {"footprint": footprint})
    for number, stage in enumerate(STAGES):
        outputs = {"report_measured.json": file_digest(run.file("report_measured.json"))}
        record = {
            "stage": stage,
            "fingerprint": "0",
            "config": {"data": DATA, "budget": {"macs": None}},
            "inputs": [],
            "outputs": outputs if stage == "report" else {},
            "seconds": 2.5,
            "started": f"2026-11-26T09:59:4{number}Z",
            "git_revision": "13a9703",
            "versions": {"mcuformer": "0.1.0"},
        }
        write_json(run.record_file(stage), "stage", record)
    return run
