"""Admitted fraction rho over the whole grid of a space, by memory estimator.

    python tools/admission_map.py [space=t] [--devices stm32f427 stm32f746 stm32h743]
                                  [--samples 200] [--picture map.png]
                                  [--json] [--markdown]

`paper` is MCUFormer's criterion, `released` its code's estimate, `planner` the exporter's plan. The
first two do not estimate flash, so only SRAM is compared. `exact` is the released estimate's rho
averaged over the embedding widths at the largest MLP ratio, without sampling.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from evolve.space_search.quality import sample_point
from evolve.supernet_landscape import EvolveSpaceConfig
from mcuformer.device import Device
from mcuformer.errors import ConfigError
from mcuformer.pictures import draw_admission_maps
from mcuformer.run.artifact import write_bytes
from mcuformer.run.entry import compose
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.plan.published_estimates import paper_criterion_bytes, released_code_bytes
from oplib.target.target import Target

Map = dict[tuple[int, ...], float]
Estimator = Callable[[SubnetConfig, Device], bool]


def planned_fits(subnet: SubnetConfig, device: Device) -> bool:
    """Return whether the exporter's plan fits the SRAM, region by region."""
    target = Target(device)
    return not target.cost(subnet).footprint.exceeds(target.limit)[0]


ESTIMATORS: dict[str, Estimator] = {
    "paper": lambda subnet, device: paper_criterion_bytes(subnet) <= device.sram_bytes,
    "released": lambda subnet, device: released_code_bytes(subnet) <= device.sram_bytes,
    "planner": planned_fits,
}


def exact_released(space: SearchSpace, point: SpacePoint, limit_bytes: int) -> float:
    """Return the exact rho of the released estimate, which depends on the embedding width alone."""
    largest = space.largest(point)
    subnets = [largest.model_copy(update={"embed_dim": dim}) for dim in space.embed_dim]
    return float(np.mean([released_code_bytes(subnet) <= limit_bytes for subnet in subnets]))


def admission_maps(
    space: SearchSpace, devices: Sequence[Device], samples: int
) -> dict[str, dict[str, Map]]:
    """Return rho by device, estimator and grid index."""
    names = (*ESTIMATORS, "exact")
    maps: dict[str, dict[str, Map]] = {d.name: {name: {} for name in names} for d in devices}
    for index in np.ndindex(*space.shape):
        point = space.point_at(index)
        subnets = sample_point(space, point, samples, stream(0, "quality", point.name))
        for device in devices:
            device_maps = maps[device.name]
            for name, estimate in ESTIMATORS.items():
                fits = sum(estimate(subnet, device) for subnet in subnets)
                device_maps[name][index] = fits / samples
            device_maps["exact"][index] = exact_released(space, point, device.sram_bytes)
    return maps


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Compute and draw the maps."""
    tool.require_at_least(1, samples=options.samples)
    configs = [
        compose(
            "evolve_space", ["space=t", *options.overrides, f"device={name}"], EvolveSpaceConfig
        )
        for name in options.devices
    ]
    space = SearchSpace.parse(configs[0]["space"], where="space")
    if list(space.axes) != ["rank_ratio", "patch_size"]:
        raise ConfigError("the map needs exactly the axes rank_ratio and patch_size", where="space")
    started = time.monotonic()
    devices = [Device.parse(config["device"], where="device") for config in configs]
    maps = admission_maps(space, devices, options.samples)
    seconds = time.monotonic() - started
    if options.picture is not None:
        write_bytes(Path(options.picture), draw_admission_maps(space, maps))
    rho = {
        device: {
            name: [[values[i, j] for j in range(space.shape[1])] for i in range(space.shape[0])]
            for name, values in estimates.items()
        }
        for device, estimates in maps.items()
    }
    axes = {name: list(choices) for name, choices in space.axes.items()}
    return {"rho": rho, **axes, "samples": options.samples, "seconds": seconds}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a table per device and estimator, with a row per patch size, a column per ratio."""
    header = ("patch", *(f"r {ratio:g}" for ratio in result["rank_ratio"]))
    all_tables = []
    for device, maps in result["rho"].items():
        for estimator, values in maps.items():
            rows = [
                (str(patch), *(f"{column[row]:.3f}" for column in values))
                for row, patch in enumerate(result["patch_size"])
            ]
            all_tables.append(Table(header, rows, f"{device}, {estimator}"))
    points = len(result["rank_ratio"]) * len(result["patch_size"])
    judged = points * result["samples"] * len(result["rho"])
    row = (f"{judged:,}", f"{result['seconds']:.1f}")
    all_tables.append(Table(("subnets judged by every estimator", "seconds"), [row]))
    return all_tables


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, for instance space=digits")
    parser.add_argument("--devices", nargs="+", default=["stm32f427", "stm32f746", "stm32h743"])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--picture", help="where to write a PNG")
    return tool.run(parser, measure, tables)


if __name__ == "__main__":
    raise SystemExit(main())
