"""The tools print one JSON object with the promised keys as their last line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import run

from evolve.supernet_landscape import EvolveSpaceConfig
from mcuformer.run.artifact import read_json, write_json
from mcuformer.run.entry import compose
from mcuformer.subnet import SubnetConfig
from oplib.target import qemu

TABULATED = ("digits", "fashion_mnist")


def run_tool(root: Path, name: str, *arguments: str) -> dict[str, Any]:
    result = run([root / "tools" / f"{name}.py", *arguments, "--json"], cwd=root)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_the_default_selector_is_near_the_best_on_measured_grids(root: Path) -> None:
    """On each of two grids of 48 trained points it is within the pooled deviation of the best."""
    tables = [str(root / f"tests/data/space_table_{name}.json") for name in TABULATED]
    options = ["--table", *tables, "--seeds", "40", "--visits", "12", "24"]
    rows = run_tool(root, "bench_trend", *options)["rows"]
    default = [row for row in rows if row["selector"] == default_selector()]
    assert [(row["landscape"], row["visits"]) for row in default] == [
        (name, visits) for name in TABULATED for visits in (12, 24)
    ]
    assert all(row["behind"] < 1 for row in default)
    largest = [row for row in rows if row["selector"] == "largest"]
    assert all(row["behind"] > 1 for row in largest)  # it is no simple matter of size


def default_selector() -> str:
    """Return the selector that `evolve.space` uses unless it is told otherwise."""
    return str(compose("evolve_space", [], EvolveSpaceConfig)["space_search"]["name"])


def test_bench_trend(root: Path) -> None:
    found = run_tool(root, "bench_trend", "--seeds", "20", "--visits", "20")
    assert found["seeds"] == 20
    rows = {(row["landscape"], row["selector"]): row for row in found["rows"]}
    for landscape in ("peak", "bumps", "plateau", "ridge"):
        random = rows[landscape, "random"]
        for selector in ("trend", "hill_climbing", "axis_climbing", "gaussian_process"):
            assert rows[landscape, selector]["mean_regret"] < random["mean_regret"]
            assert rows[landscape, selector]["behind"] >= 0


def test_admission_map(root: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    found = run_tool(
        root,
        "admission_map",
        "space=digits",
        "--devices",
        "stm32f100",
        "--samples",
        "5",
        "--picture",
        str(picture),
    )
    assert set(found["rho"]["stm32f100"]) == {"paper", "released", "planner", "exact"}
    rows = found["rho"]["stm32f100"]["planner"]
    assert [len(row) for row in rows] == [4] * 4
    assert picture.read_bytes()[1:4] == b"PNG"


def test_compare_orders(root: Path) -> None:
    """No order of a transformer's layers beats the one that is built: the planner searches none."""
    found = run_tool(root, "compare_orders", "space=digits", "--samples", "20")
    assert found["samples"] == 20
    assert found["lowered"] == {"layers": 0, "calls": 0, "munas": 0}
    for counts in found["networks"].values():
        assert all(count["least"] == count["built"] > 0 for count in counts.values())


@pytest.mark.parametrize("argument", ["space=absent", "--devices=absent"])
def test_admission_map_refuses(root: Path, argument: str) -> None:
    result = run([root / "tools" / "admission_map.py", argument], cwd=root)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_estimate_scaling(root: Path) -> None:
    """The arithmetic, by hand, from the rates that were measured."""
    options = ("--images", "4", "--gpu-tflops", "2", "--cores", "4")
    found = run_tool(root, "estimate_scaling", *options)
    rates, macs = found["images_per_second"], found["mean_macs"]
    assert rates["trained_per_gpu"] == pytest.approx(2e12 / (6 * macs))
    fed = min(4 * rates["augmented_per_core"], rates["trained_per_gpu"])
    images = 1_281_167 - 10_000
    trained = 900 * images / fed
    evaluated = (30 * 20 + 1000) * 10_000 / rates["evaluated_per_gpu"]
    for gpus, hours in zip((1, 8, 64), found["hours_after"], strict=True):
        assert hours == pytest.approx((trained + evaluated) / gpus / 3600, rel=0.01)
    ratios = [b / a for b, a in zip(found["hours_before"], found["hours_after"], strict=True)]
    assert ratios == sorted(ratios)
    assert ratios[0] > 1


def test_bench_supernet(root: Path) -> None:
    """The tool runs and its parameter counts are exact; its ratios need an idle machine."""
    short = ("--subnets", "1", "--repeats", "1", "--threads", "1", "--batch-size", "2")
    found = run_tool(root, "bench_supernet", *short)
    ratios = {"train_overhead_ratio", "eval_overhead_ratio"}
    rates = {"train_steps_per_second", "eval_images_per_second", "param_counts_per_second"}
    assert set(found) == ratios | rates | {"presets"}
    assert [preset["name"] for preset in found["presets"]] == ["autoformer_t", "fashion_mnist"]
    assert [preset["batch_size"] for preset in found["presets"]] == [2, 2]
    assert found["param_counts_per_second"] > 10_000
    for name in ratios:
        assert found[name] == max(preset[name] for preset in found["presets"])


def test_compare_sampling(root: Path, tmp_path: Path) -> None:
    short = ["recipe.epochs=3", "recipe.warmup_epochs=0", "--seeds", "2", "--train-images", "300"]
    found = run_tool(root, "compare_sampling", *short, "--out", str(tmp_path))
    rows = found["rows"]
    assert [(row["seed"], row["sampling"]) for row in rows[:4]] == [
        (0, "uniform"),
        (0, "sandwich"),
        (0, "budget_aware"),
        (1, "uniform"),
    ]
    assert all(set(row) >= {"smallest", "median", "largest"} for row in rows)
    epochs = {row["sampling"]: row["epochs"] for row in rows if row["seed"] == 0}
    assert epochs["sandwich"] < epochs["uniform"] < epochs["budget_aware"]  # equal compute


def test_compare_joint(root: Path, tmp_path: Path) -> None:
    """A joint supernet gets its share of all points' epochs, and finished rows are read."""
    space = ["patch_size=[4]", "rank_ratio=[0.5,1.0]", "embed_dim=[32]", "depth=[1]"]
    options = [*(f"space.{gene}" for gene in space), "space.num_heads=[2]", "threads=1"]
    options += ["data.steering_fraction=0.6"]  # leaves 575 images to train on
    options += [f"{part}.epochs=2" for part in ("train", "finetune")]
    options += [f"{part}.warmup_epochs=0" for part in ("train", "finetune")]
    options += ["strategy=random", "strategy.samples=3", "--seeds", "2", "--share", "0.5"]
    found = run_tool(root, "compare_joint", *options, "--out", str(tmp_path))
    epochs = {row["way"]: row["epochs"] for row in found["rows"]}
    assert epochs == {"per_point": 4, "joint": 2, "per_layer": 2}
    for row in found["rows"]:
        own = "fc1_rank_ratio" in row["subnet"]["blocks"][0]
        assert own == (row["way"] == "per_layer")
        assert 0 < row["int8_test_percent"] <= 100
    for checkpoint in tmp_path.rglob("epoch_*"):
        shutil.rmtree(checkpoint)
    assert run_tool(root, "compare_joint", *options, "--out", str(tmp_path)) == found
    assert not list(tmp_path.rglob("epoch_*"))


def test_compare_sharing(root: Path, tmp_path: Path) -> None:
    small = ["data=digits", "recipe.batch_size=32", "point.patch_size=4", "--train-images", "64"]
    short = ["--epochs", "2", "--supernet-epochs", "2", "--seeds", "2", "--scratch-seeds", "1"]
    options = [*small, *short, "--subnets", "2", "--samplings", "uniform@3", "sandwich"]
    found = run_tool(root, "compare_sharing", *options, "--out", str(tmp_path))
    assert list(found["samplings"]) == ["uniform@3", "sandwich"]
    assert found["macs"][0] < found["macs"][1]
    scratch = [read_json(path, "compare_sharing") for path in (tmp_path / "scratch").iterdir()]
    assert sorted(found["scratch"]) == sorted(record["accuracy_percent"] for record in scratch)
    names = {f"{way}_{seed}.json" for way in ("uniform_3", "sandwich_2") for seed in (0, 1)}
    assert {path.name for path in (tmp_path / "supernets").iterdir()} == names
    record = read_json(tmp_path / "supernets" / "sandwich_2_0.json", "compare_sharing")
    accuracies = list(record["accuracy_percent"].values())
    sandwich = found["samplings"]["sandwich"]
    assert sandwich["smallest"][0] == pytest.approx(accuracies[0] - found["scratch"][0])
    assert sandwich["largest"][0] == pytest.approx(accuracies[1] - found["scratch"][1])
    assert not list((tmp_path / "unfinished").rglob("epoch_*"))
    assert run_tool(root, "compare_sharing", *options, "--out", str(tmp_path)) == found


@pytest.mark.usefixtures("emulator_tools")
def test_compare_pruning(root: Path, tmp_path: Path, small_subnet: SubnetConfig) -> None:
    path = tmp_path / "subnet.json"
    write_json(path, "subnet", small_subnet.dump())
    short = ["recipe.epochs=2", "recipe.warmup_epochs=0", "threads=1", "--seeds", "1"]
    options = [f"subnet={path}", "device=stm32f405", *short, "--share", "0.5", "--images", "640"]
    found = run_tool(root, "compare_pruning", *options, "--out", str(tmp_path / "out"))
    whole, pruned = found["rows"]
    assert [(row["method"], row["share"], row["seed"]) for row in found["rows"]] == [
        ("none", None, 0),
        ("feedback", 0.5, 0),
    ]
    assert whole["parameters"] == small_subnet.num_params >= 2 * pruned["parameters"]
    assert whole["from_scratch_int8"] is None
    assert 0 < pruned["from_scratch_int8"] <= 100
    saved = whole["weights_bytes"] - pruned["weights_bytes"]
    assert whole["flash_bytes"] - pruned["flash_bytes"] >= 0.9 * saved > 0  # and fewer kernels
    for checkpoint in (tmp_path / "out").rglob("epoch_*"):
        shutil.rmtree(checkpoint)  # finished rows are read, not trained again
    assert run_tool(root, "compare_pruning", *options, "--out", str(tmp_path / "out")) == found
    assert not list((tmp_path / "out").rglob("epoch_*"))


GEMM_SHAPES = [
    (64, 64, 64),
    (64, 192, 768),
    (197, 192, 192),
    (197, 192, 576),
    (197, 768, 192),
    (225, 240, 80),
]


def test_kernels_stay_below_their_bars(root: Path) -> None:
    """Counts and the model are repeatable, so the limits are close to what was reached."""
    for program in qemu.TOOLS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} not found; `make setup` installs it")
    found = run_tool(root, "bench_kernels")
    assert found["core"] == "cortex-m7"
    for core in (found, found["m4"], found["m3"]):
        shapes = [(r["tokens"], r["in_features"], r["out_features"]) for r in core["gemm"]]
        assert shapes == GEMM_SHAPES
        assert core["bit_exact"]
    for row in found["gemm"]:
        if row["in_features"] >= 192:
            assert row["cycles_per_mac"]["m7"] <= 0.66
            assert row["cycles_per_mac"]["m4"] <= 1.22
            assert row["cycles_per_mac"]["m3"] <= 3.6
    assert found["attention_cycles_per_mac"]["m7"] <= 0.73
    assert found["attention_relative_cycles_per_mac"]["m7"] <= 0.96
    assert found["attention_relative_per_mac"] <= 1.55
    assert found["m4"]["attention_relative_per_mac"] <= 1.41
    for row in found["m4"]["gemm"]:
        assert row["instructions_per_mac"] <= (1.05 if row["in_features"] == 64 else 0.95)
    assert found["m4"]["attention_per_mac"] <= 1.10
    assert found["m4"]["patch_embed_per_mac"] <= 0.95
    for core in (found, found["m4"]):
        assert core["softmax_per_score"] <= 10
        assert core["layer_norm_per_element"] <= 13
        assert core["gelu_per_element"] <= 2


def test_small_networks_stay_below_their_bars(root: Path) -> None:
    for program in qemu.TOOLS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} not found; `make setup` installs it")
    limits = {"cifar_patch": 30_000, "cifar_conv2": 29_000, "digits": 4_096}
    limits["patch_484"] = 192 * 1024
    found = run_tool(root, "bench_network", *limits)["networks"]
    assert [row["name"] for row in found] == list(limits)
    for row, limit in zip(found, limits.values(), strict=True):
        assert row["bit_exact"]
        assert row["sram_bytes"] <= limit
        assert row["arena_bytes"] <= 1.02 * row["lower_bound_bytes"]


def test_the_memory_ablation_saves_with_every_pass(root: Path) -> None:
    for network in run_tool(root, "ablate_memory")["networks"]:
        rows = network["rows"]
        assert rows[0]["row"] == "layer by layer"
        assert len(rows) == 5
        for image in ("image", "strip"):
            for accounting in ("flash", "staged"):
                sizes = [row[image][accounting]["bytes"] for row in rows]
                assert sizes == sorted(sizes, reverse=True)
                saved = rows[-1][image][accounting]["saved_percent"]
                assert saved == pytest.approx(100 * (1 - sizes[-1] / sizes[0]), abs=0.06)
