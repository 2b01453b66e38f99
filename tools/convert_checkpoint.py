"""Convert a .pth file of AutoFormer or MCUFormer's released code, without unpickling it.

    python tools/convert_checkpoint.py supernet-tiny.pth OUT [--subnet subnet.json] [--json]

OUT receives one network that timm loads (config.json, model.safetensors), its subnet.json, and the
whole supernet as supernet.safetensors. The network is the largest, or the dense subnet given by
--subnet, sliced as the released code does.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import tool
from tool import Parser

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.run.artifact import read_value, save_arrays, write_json
from mcuformer.subnet import SubnetConfig
from supernet.convert import ReleasedCheckpoint
from supernet.registry import write_timm_config

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def convert(options: argparse.Namespace) -> dict[str, Any]:
    """Write one network and the whole supernet."""
    released = ReleasedCheckpoint(options.checkpoint, options.img_size)
    subnet = released.largest()
    if options.subnet is not None:
        subnet = read_value(options.subnet, "subnet", SubnetConfig)
    weights = released.subnet_weights(subnet, options.rank_ratio)
    whole = released.supernet_weights()
    save_arrays(options.out / "model.safetensors", {n: t.numpy() for n, t in weights.items()})
    save_arrays(options.out / "supernet.safetensors", {n: t.numpy() for n, t in whole.items()})
    write_json(options.out / "subnet.json", "subnet", subnet.dump())
    preprocessing = Preprocessing(
        img_size=subnet.img_size,
        channel_order="RGB",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        resize="bicubic",
    )
    names = tuple(str(number) for number in range(subnet.num_classes))
    write_timm_config(options.out / "config.json", subnet, preprocessing, names)
    print(f"{options.out}: {subnet.num_params} parameters, {subnet.depth} blocks")
    return {"num_params": subnet.num_params, "subnet": subnet.dump()}


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--subnet", type=Path, help="file of a dense subnet, like a run's subnet.json"
    )
    parser.add_argument(
        "--img-size", type=int, help="image size, needed if patch_size does not divide it"
    )
    parser.add_argument(
        "--rank-ratio", type=float, default=1.0, help="rank ratio of MCUFormer's factors"
    )
    return tool.run(parser, convert)


if __name__ == "__main__":
    raise SystemExit(main())
