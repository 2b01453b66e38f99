"""Convert a .pth file of AutoFormer or MCUFormer's released code, without unpickling it.

    python tools/convert_checkpoint.py supernet-tiny.pth OUT [--subnet subnet.json] [--json]

OUT receives one network that timm loads (config.json, model.safetensors) and its subnet.json: the
largest, or the dense subnet of --subnet, with the slices that the released code takes; and the
whole supernet as supernet.safetensors.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import McuformerError
from mcuformer.run.artifact import read_value, save_arrays, write_json
from mcuformer.run.entry import fail
from mcuformer.subnet import SubnetConfig
from supernet.convert import ReleasedCheckpoint
from supernet.registry import write_timm_config

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "resize": "bicubic"}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subnet", type=Path, help="a dense subnet, as in a run's subnet.json")
    parser.add_argument("--img-size", type=int, help="where patch_size does not divide it")
    parser.add_argument("--rank-ratio", type=float, default=1.0, help="of MCUFormer's factors")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    try:
        released = ReleasedCheckpoint(arguments.checkpoint, arguments.img_size)
        subnet = released.largest()
        if arguments.subnet is not None:
            subnet = read_value(arguments.subnet, "subnet", SubnetConfig)
        weights = released.subnet_weights(subnet, arguments.rank_ratio)
        whole = released.supernet_weights()
        save_arrays(
            arguments.out / "model.safetensors", {name: t.numpy() for name, t in weights.items()}
        )
        save_arrays(
            arguments.out / "supernet.safetensors", {name: t.numpy() for name, t in whole.items()}
        )
        write_json(arguments.out / "subnet.json", "subnet", subnet.dump())
        preprocessing = Preprocessing(img_size=subnet.img_size, channel_order="RGB", **IMAGENET)
        names = tuple(str(number) for number in range(subnet.num_classes))
        write_timm_config(arguments.out / "config.json", subnet, preprocessing, names)
    except McuformerError as error:
        return fail(error, error.exit_code)
    print(f"{arguments.out}: {subnet.num_params} parameters, {subnet.depth} blocks")
    if arguments.json:
        print(json.dumps({"num_params": subnet.num_params, "subnet": subnet.dump()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
