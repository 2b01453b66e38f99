"""Numbers that would cost minutes or gigabytes are refused in one line, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from evolve.qat import QatConfig
from evolve.search import SearchConfig
from mcuformer.chain import ChainConfig
from mcuformer.errors import ConfigError
from mcuformer.limits import PathText
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value
from oplib.export_config import ExportConfig
from supernet.train import TrainConfig

BLOCK = {"num_heads": 4, "head_dim": 16, "mlp_ratio": 2.0}
SUBNET = {"img_size": 32, "patch_size": 4, "in_chans": 3, "num_classes": 10, "embed_dim": 64}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"img_size": 10**9}, "img_size: out of range (got 1000000000, expected at most 2048)"),
        ({"num_heads": [10**6]}, "num_heads.0: out of range (got 1000000, expected at most 64)"),
        ({"depth": [10**6]}, "depth.0: out of range (got 1000000, expected at most 64)"),
        ({"mlp_ratio": [1e-300]}, "mlp_ratio.0: out of range (got 1e-300, expected at least 0."),
        ({"mlp_ratio": [1e308]}, "mlp_ratio.0: out of range (got 1e+308, expected at most 64.0)"),
        ({"patch_size": list(range(1, 40))}, "patch_size: out of range"),
        ({"img_size": 2048, "patch_size": [4]}, "262144 tokens, expected at most 2048"),
        ({"rank_ratio": [n / 32 for n in range(1, 33)], "patch_size": list(range(1, 9)),
          "mlp_rank_ratio": [0.5, 1.0]}, "512 points, expected at most 256"),
        ({"num_heads": [64], "patch_size": [1], "img_size": 20}, "64 heads of 400 tokens, expected "
         "at most 40 heads"),
        ({"embed_dim": [4096], "mlp_ratio": [64.0], "rank_ratio": [1.0]}, "parameters, expected at "
         "most 1000000000"),
        ({"embed_dim": [16], "mlp_ratio": [0.02]}, "an MLP without hidden units"),
    ],
)  # fmt: skip
def test_spaces_that_nobody_can_plan(
    digits_space: SearchSpace, change: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SearchSpace.parse(digits_space.dump() | change)
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"blocks": [BLOCK] * 65}, "blocks: out of range"),
        ({"img_size": 512, "blocks": [BLOCK]}, "16384 tokens, expected at most 2048"),
    ],
)
def test_subnets_that_nobody_can_plan(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SubnetConfig.parse(SUBNET | change)
    assert line in str(caught.value)


def unbounded(model: type[BaseModel]) -> set[str]:
    """Return the numbers of a command's configuration whose schema has no upper bound."""
    found = set()

    def walk(schema: Any, path: str) -> None:
        if isinstance(schema, list):
            for item in schema:
                walk(item, path)
        elif isinstance(schema, dict):
            number = schema.get("type") in ("integer", "number")
            if number and not {"maximum", "exclusiveMaximum", "const", "enum"} & schema.keys():
                found.add(path)
            for key, value in schema.items():
                if key in ("properties", "$defs"):
                    for name, inner in value.items():
                        walk(inner, f"{path}.{name}" if key == "properties" else name)
                else:
                    walk(value, path)

    walk(model.model_json_schema(), "")
    return found


@pytest.mark.parametrize("model", [ChainConfig, ExportConfig, QatConfig, SearchConfig, TrainConfig])
def test_every_number_has_a_bound(model: type[BaseModel]) -> None:
    assert unbounded(model) <= {"TimmTeacher.arguments"}  # timm's to judge


class Command(Value):
    run_dir: PathText


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Command.parse({"run_dir": "~/a (b)=ü"}).run_dir == f"{tmp_path}/a (b)=ü"
    for text, line in (
        ("", "out of range"),
        ("a\0b", "control character"),
        ("x" * 5000, "more than 4095 bytes"),
        ("~nobody-of-this-name/x", "no home directory"),
    ):
        with pytest.raises(ConfigError, match=line) as caught:
            Command.parse({"run_dir": text})
        assert len(str(caught.value)) < 500
