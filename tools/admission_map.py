"""Admitted fraction rho over the whole grid of a space, under several memory estimators.

    python tools/admission_map.py [space=t] [--devices stm32f427 stm32f746 stm32h743]
                                  [--samples 200] [--picture map.png] [--json]

`paper` is MCUFormer's criterion, `released` its code's estimate, `planner` the exporter's plan. The
first two say nothing about flash, so SRAM alone is compared. `exact` is the released estimate's rho
averaged over the embedding widths at the largest MLP ratio, without sampling.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evolve.space_search.quality import sample_point
from mcuformer.device import Device
from mcuformer.errors import ConfigError, McuformerError
from mcuformer.pictures import draw_admission_maps
from mcuformer.run.artifact import write_bytes
from mcuformer.run.entry import compose, fail
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from oplib.plan.published_estimates import ESTIMATORS, released_code_bytes

Map = dict[tuple[int, ...], float]


def exact_released(space: SearchSpace, point: SpacePoint, limit_bytes: int) -> float:
    """Return rho of the released estimate, exactly: it depends on the embedding width alone."""
    block = space.block(max(space.num_heads), max(space.mlp_ratio), 0)
    subnets = [space.subnet(point, dim, (block,)) for dim in space.embed_dim]
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
            found = maps[device.name]
            for name, estimate in ESTIMATORS.items():
                fits = sum(estimate(subnet, device) for subnet in subnets)
                found[name][index] = fits / samples
            found["exact"][index] = exact_released(space, point, device.sram_bytes)
    return maps


def show(space: SearchSpace, title: str, values: Map) -> None:
    """Print one map: a row a patch size, a column a rank ratio."""
    print(f"\n{title}\n patch  " + " ".join(f"r{ratio:4.2f}" for ratio in space.rank_ratio))
    for row, patch in enumerate(space.patch_size):
        cells = (values[column, row] for column in range(len(space.rank_ratio)))
        print(f"  {patch:4d}  " + " ".join(f"{value:5.3f}" for value in cells))


def run(arguments: argparse.Namespace) -> None:
    """Compute, print and draw the maps."""
    configs = [
        compose("evolve_space", ["space=t", *arguments.overrides, f"device={name}"])
        for name in arguments.devices
    ]
    space = SearchSpace.parse(configs[0]["space"], where="space")
    if list(space.axes) != ["rank_ratio", "patch_size"]:
        raise ConfigError("needs the axes rank_ratio and patch_size alone", where="space")
    started = time.monotonic()
    devices = [Device.parse(config["device"], where="device") for config in configs]
    result = admission_maps(space, devices, arguments.samples)
    for device in devices:
        for estimator, values in result[device.name].items():
            show(space, f"{device.name}, {device.sram_bytes} bytes of SRAM: {estimator}", values)
    seconds = time.monotonic() - started
    print(f"\n{seconds:.1f} s for {len(space.points())} points and {len(result)} devices")
    if arguments.picture is not None:
        write_bytes(Path(arguments.picture), draw_admission_maps(space, result))
    if arguments.json:
        content = {
            device: {
                name: [[values[i, j] for j in range(space.shape[1])] for i in range(space.shape[0])]
                for name, values in maps.items()
            }
            for device, maps in result.items()
        }
        print(json.dumps({"rho": content, "seconds": seconds}))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, for instance space=digits")
    parser.add_argument("--devices", nargs="+", default=["stm32f427", "stm32f746", "stm32h743"])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--picture", help="where to write a PNG")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    try:
        run(parser.parse_args())
    except McuformerError as error:
        return fail(error, error.exit_code)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
