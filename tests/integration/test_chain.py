"""The whole chain on digits, small: complete, skipped, interrupted, continued, damaged."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import browser
import commands
import numpy as np
import pytest
from commands import Command, Printed
from PIL import Image
from sklearn.datasets import load_digits

from evolve.search import SEARCH
from mcuformer.device import Device
from mcuformer.errors import ArtifactError
from mcuformer.report.page import write_run_page
from mcuformer.run.artifact import RunDir, write_json
from mcuformer.zoo_entry import ZooEntry
from supernet import evaluate

SMALL = [
    "threads=1",  # a worker of the tests has one core
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[2,4]",
    "space.embed_dim=[32,48]",
    "space.depth=[1,2]",
    "space.num_heads=[2,3]",  # few kinds of blocks, because each is planned anew
    "space_search.k=3",
    "space_search.initial_points=3",
    "space_search.visit_epochs=2",
    "space_search.max_visits=4",
    "space_search.num_samples=40",
    "space_search.accuracy_subnets=4",
    "train.epochs=4",
    "train.warmup_epochs=1",
    "train.checkpoint_steps=18",
    "finetune.epochs=3",
    "finetune.warmup_epochs=1",
    "evaluator=inherited",
    "strategy.population=8",
    "strategy.generations=3",
    "strategy.mutants=4",
    "strategy.crossovers=3",
    "budget.sram_bytes=3400",
]

OF_THE_SEARCH = ("threads", "strategy", "evaluator", "budget")


def command(run_dir: Path, *more: str) -> list[str]:
    return ["-m", "mcuformer", *SMALL, f"run_dir={run_dir}", *more]


def run(run_dir: Path, *more: str, fresh: bool = False) -> Printed:
    return commands.run(command(run_dir, *more), fresh=fresh)


def report(run_dir: Path) -> dict:
    content = json.loads((run_dir / "report.json").read_text())
    content.pop("seconds")
    return content


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("chain") / "k=3,seed=0"  # as of a sweep
    result = run(run_dir, fresh=True)
    assert result.returncode == 0, result.stderr
    return run_dir


def test_timm_loads_the_exported_network(finished: Path) -> None:
    """Return the float accuracy of a report, computed in a fresh process."""
    program = f"""
import supernet, sys
assert not {{"torch", "timm"}} & sys.modules.keys()
supernet.register()
import timm, torch
from mcuformer.data.dataset import DataConfig, load
from mcuformer.run.entry import compose
from supernet.evaluate import accuracy_percent
from supernet.train import TrainConfig
vit = timm.create_model("local-dir:{finished}").eval()
data = load(DataConfig.parse(compose("supernet_train", [], TrainConfig)["data"]))
print(accuracy_percent(vit, data.test, data.preprocessing))
print(vit.pretrained_cfg["label_names"][3], vit.forward_features(torch.zeros(1, 1, 8, 8)).dim())
print(timm.create_model("local-dir:{finished}", num_classes=4)(torch.zeros(2, 1, 8, 8)).shape[1])
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    accuracy, label, dims, classes = result.stdout.split()
    expected = report(finished)["accuracy_percent"]["float"]
    assert float(accuracy) == pytest.approx(expected, abs=1e-3)
    assert (label, dims, classes) == ("3", "3", "4")


def test_the_report_is_whole(finished: Path) -> None:
    content = json.loads((finished / "report.json").read_text())
    assert content["num_images"]["int8"] == 359
    assert content["accuracy_percent"]["int8"] > 20  # a few epochs; chance is 10
    have_arm = shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")
    exact = {"host": True, "emulated": True if have_arm else None}
    assert content["bit_exact"] == exact
    sram, flash = content["sram_bytes"], content["flash_bytes"]
    if have_arm:
        assert sram["arena_planned"] == sram["arena_linked"]
        assert sram["fast_arena_planned"] == sram["fast_arena_linked"] == 0
        assert sram["total"] == sram["arena_linked"] + sram["static"] + sram["stack_high_water"]
        assert sram["total"] <= sram["budget"] == 3400
        assert flash["total"] == flash["weights"] + flash["code"] <= flash["budget"]
        assert content["instructions"] > content["macs"]
        assert content["not_verified"] == []
    time = content["time"]
    assert time["ms_high"] == pytest.approx(time["ms_cpu"] + time["ms_memory"])
    assert time["ms_low"] == max(time["ms_cpu"], time["ms_memory"]) > 0
    admission = content["admission"]
    counted = sum(admission[name] for name in ("sram", "flash", "both", "time", "admitted"))
    assert admission["sampled"] == counted
    assert admission["sram"] > 0
    stages = [
        "evolve.space",
        "supernet.train",
        "evolve.search",
        "evolve.finetune",
        "oplib.export",
        "report",
    ]
    assert list(content["seconds"]) == stages
    record = json.loads((finished / "stages" / "supernet.train.json").read_text())
    assert record["versions"]["torch"]
    assert record["config"]["seed"] == 0


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    before = (finished / "supernet.safetensors").stat().st_mtime_ns
    started = time.monotonic()
    result = run(finished)
    assert result.returncode == 0
    assert result.stderr.count("complete, nothing to do") == 6
    assert (finished / "supernet.safetensors").stat().st_mtime_ns == before
    assert time.monotonic() - started < 30


def test_an_interrupted_run_ends_with_the_same_report(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    for marker in ("points", "supernet.json", "finetune"):
        process = Command(command(run_dir))
        while not (run_dir / marker).exists() and process.running():
            time.sleep(0.02)
        process.send(signal.SIGINT)
        result = process.finish()
        # CPython ends by the signal itself if it came inside exec(); a shell shows 130 for both
        assert result.returncode in (130, -signal.SIGINT), result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: interrupted; run the same command")
        assert not (run_dir / "report.json").exists()
    assert run(run_dir).returncode == 0
    assert report(run_dir) == report(finished)


def test_an_interrupted_search_evaluates_nothing_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    shutil.rmtree(run_dir / "search")
    outputs = ("search.jsonl", "subnet.json", "weights.safetensors")
    for name in (*outputs, "stages/evolve.search.json"):
        (run_dir / name).unlink()
    accuracy_percent, calls = evaluate.PreparedSplit.accuracy_percent, []

    def interrupted(*arguments: object) -> float:
        calls.append(arguments)
        if len(calls) in (1, 6):
            raise KeyboardInterrupt
        return accuracy_percent(*arguments)

    monkeypatch.setattr(evaluate.PreparedSplit, "accuracy_percent", interrupted)
    settings = [
        text for text in SMALL if text.startswith(("threads", "strategy", "evaluator", "budget"))
    ]
    codes = [SEARCH.main([*settings, f"run_dir={run_dir}"]) for _ in range(3)]
    assert codes == [130, 130, 0]
    assert f"4 evaluations are recorded in {run_dir}" in capsys.readouterr().err.replace("\n", "")
    for name in outputs:
        assert (run_dir / name).read_bytes() == (finished / name).read_bytes()
    assert len(calls) == 2 + (finished / "search.jsonl").read_bytes().count(b"\n")


def test_workers_and_jobs_share_a_study(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of one job, and two jobs side by side, find what one process does."""
    monkeypatch.chdir(tmp_path)
    settings = [
        text for text in SMALL if text.startswith(("threads", "strategy", "evaluator", "budget"))
    ]
    shared = [*settings, f"supernet='{finished}'"]  # its name has a comma
    assert SEARCH.main([*shared, "workers=2", "run_dir=workers"]) == 0
    jobs = ["-m", "run_dir=first,second", "study=jobs.log", "hydra/launcher=joblib"]
    assert SEARCH.main([*shared, *jobs]) == 0
    found = [tmp_path / "workers", *tmp_path.glob("*/run_dir=*")]
    assert len(found) == 3
    for run_dir in found:
        for name in ("search.jsonl", "subnet.json", "weights.safetensors"):
            assert (run_dir / name).read_bytes() == (finished / name).read_bytes()


def test_a_time_that_is_not_modelled_is_no_objective(
    finished: Path, tmp_path: Path, stm32f100: Device, capsys: pytest.CaptureFixture
) -> None:
    run_dir, device = tmp_path / "run", tmp_path / "board.yaml"
    shutil.copytree(finished, run_dir)
    content = stm32f100.dump()
    for region in content["regions"]:
        del region["line_bytes"], region["line_wait_cycles"]
    device.write_text(json.dumps(content))
    settings = [
        text for text in SMALL if text.startswith(("threads", "strategy", "evaluator", "budget"))
    ]
    line = [*settings, f"run_dir={run_dir}", f"device={device}", "objectives=[milliseconds]"]
    assert SEARCH.main(line) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: objectives: milliseconds are not modelled: the device file has")


def test_a_changed_input_runs_what_follows(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    result = run(run_dir, "finetune.epochs=2", "finetune.distillation.teacher=largest")
    assert result.returncode == 0
    assert result.stderr.count("complete, nothing to do") == 3
    assert "evolve.finetune: running (its configuration or inputs changed)" in result.stderr
    assert "fine-tuning: epoch 2/2, loss " in result.stderr
    assert "; training accuracy " in result.stderr


def test_damage_is_found_and_mended(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    (run_dir / "subnet.json").write_text("{}")
    result = run(run_dir)
    assert result.returncode == 0
    assert "evolve.search: running (subnet.json is missing or changed since)" in result.stderr
    assert report(run_dir) == report(finished)


def test_a_run_can_be_moved_and_is_only_read(finished: Path, tmp_path: Path) -> None:
    """Its files stay as they are, so that it can be read from a disk that cannot be written to."""
    moved = tmp_path / "another (place) ü"
    shutil.copytree(finished, moved)
    files = {path: path.stat().st_mtime_ns for path in moved.rglob("*")}
    picture = tmp_path / "digit.png"
    Image.new("L", (8, 8)).save(picture)
    for arguments in (["inspect", moved], ["predict", moved, picture]):
        commands.run(["-m", "mcuformer", *arguments]).check_returncode()
    assert {path: path.stat().st_mtime_ns for path in moved.rglob("*")} == files
    weights = moved / "model_int8.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    result = commands.run(["-m", "mcuformer", "predict", moved, picture])
    assert result.returncode == 2
    assert "model_int8.safetensors: not as oplib.export left it" in result.stderr


def test_a_file_of_the_users_in_firmware_stops_the_chain_at_once(
    finished: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    (run_dir / "firmware" / "board.c").write_text("my own")
    result = run(run_dir, "seed=1")
    assert result.returncode == 2
    assert "firmware: not replaced: no export wrote board.c" in result.stderr
    assert result.stderr.count("\n") == 1
    assert (run_dir / "firmware" / "board.c").read_text() == "my own"


def test_a_plan_does_nothing(tmp_path: Path) -> None:
    result = run(tmp_path / "run", "plan=true")
    assert result.returncode == 0
    for text in ("evolve.space", "oplib.export", "not run yet", "MB under"):
        assert text in result.stdout
    assert not (tmp_path / "run").exists()


def test_an_impossible_budget_says_what_is_possible(tmp_path: Path) -> None:
    result = run(tmp_path / "run", "budget.sram_bytes=900")
    assert result.returncode == 2
    assert result.stderr.startswith("error: budget: no subnet of the space fits 900 bytes")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_predict_and_inspect(finished: Path, tmp_path: Path) -> None:
    digits = load_digits()
    picture = tmp_path / "digit.png"
    pixels = np.floor(digits.images[0] * (255 / 16) + 0.5).astype(np.uint8)
    Image.fromarray(pixels).save(picture)
    call = ["-m", "mcuformer"]
    result = commands.run([*call, "predict", finished, picture])
    result.check_returncode()
    rows = [line for line in result.stdout.splitlines() if "│" in line]
    classes = {row.split("│")[1].strip(): row.split("│")[2:4] for row in rows}
    assert classes["int8"] == classes["host C"]  # classes and probabilities
    assert set(classes) == {"float", "int8", "host C"}
    result = commands.run([*call, "inspect", finished])
    result.check_returncode()
    assert "firmware" in result.stdout
    assert "least peak over all orders of execution" in result.stdout
    for arguments, message in (
        (["predict", finished], "wrong arguments"),
        (["predict", finished, tmp_path / "absent.png"], "absent.png: no such image"),
        (["inspect", tmp_path], "not a run directory"),
        (["report"], "wrong arguments"),
        (["report", finished, tmp_path], "not a run directory"),
    ):
        result = commands.run([*call, *arguments])
        assert result.returncode == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_run_becomes_an_entry_of_the_zoo(finished: Path, tmp_path: Path, root: Path) -> None:
    """Its accuracies are those that the report measured; what is made is whole."""
    options = ["--name", "mine", "--command", "make demo", "--zoo", tmp_path, "--images", "4"]
    result = commands.run([root / "tools" / "make_zoo.py", finished, *options, "--json"])
    assert result.returncode == 0, result.stderr
    expected = report(finished)["accuracy_percent"]
    assert json.loads(result.stdout)["accuracy_percent"]["int8"] == expected["int8"]
    entry = ZooEntry("mine", tmp_path / "mine")
    entry.refuse_damaged()
    made = entry.manifest
    assert made.data.test_images == 359
    assert made.data.test_part == "own split"
    assert made.accuracy_percent["float"] == pytest.approx(expected["float"], abs=1.0)
    digits = load_digits()
    labels = {image.tobytes(): y for image, y in zip(digits.images, digits.target, strict=True)}
    images, numbers = entry.test_images()
    found = [labels[image[:, :, 0].astype(np.float64).tobytes()] for image in images]
    assert found == numbers.tolist()
    assert len(found) == 4
    result = commands.run([root / "tools" / "make_zoo.py", finished, *options, "--name", "Mine"])
    assert result.returncode == 2
    assert "--name: no name (got Mine, expected small letters" in result.stderr


def test_a_missing_tool_is_not_a_pass(finished: Path, tmp_path: Path) -> None:
    """Without cross-compiler and emulator, the chain succeeds and lists what was not verified."""
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cmake", "cc", "gcc", "make", "ld", "as", "ar", "ranlib", "git", "sh", "uname"):
        found = shutil.which(name)
        if found is not None:
            (tools / name).symlink_to(found)
    result = commands.run(command(run_dir), env={"PATH": str(tools)})
    assert result.returncode == 0, result.stderr
    content = json.loads((run_dir / "report.json").read_text())
    assert content["bit_exact"] == {"host": True, "emulated": None}
    assert content["accuracy_percent"]["emulated"] is None
    assert content["sram_bytes"]["total"] is None
    assert "apt-get install" in content["not_verified"][0]
    assert "not verified: emulated chip" in result.stdout


def test_a_network_of_quantisation_aware_training_is_exported(
    finished: Path, tmp_path: Path
) -> None:
    """One epoch under int8 arithmetic, then the chain's export, report and predict of it."""
    run_dir = tmp_path / "qat"
    shutil.copytree(finished, run_dir)
    settings = [f"run_dir={run_dir}", "recipe.epochs=1", "threads=1"]
    train = ["-m", "evolve.qat", *settings]
    chain = command(run_dir, "export.source=qat", "export.onnx=true")
    for command_line in (train, chain, train):
        result = commands.run(command_line)
        assert result.returncode == 0, result.stderr
    assert "complete, nothing to do" in result.stderr
    content = report(run_dir)
    assert content["bit_exact"] == {"host": True, "emulated": True}
    accuracy, before = content["accuracy_percent"], report(finished)["accuracy_percent"]
    assert accuracy["inherited"] == before["inherited"]
    assert accuracy["int8"] == accuracy["host"] == accuracy["emulated"]
    assert accuracy["float"] > 20  # chance is 10
    assert (run_dir / "model_int8.onnx").stat().st_size > 1000
    rows = json.loads((run_dir / "layers.json").read_text())["rows"]
    assert min(row["snr_db"] for row in rows) > 5
    other = run(run_dir, "export.source=qat", "forms.gelu=sigmoid")
    assert other.returncode == 2
    assert "forms: evolve.qat trained for other forms" in other.stderr


def test_the_chain_asks_for_what_nobody_wrote(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    result = run(run_dir, "export.source=qat")
    assert result.returncode == 2
    assert "qat.safetensors: no such file; oplib.export reads it" in result.stderr
    plan = run(run_dir, "export.source=qat", "plan=true")
    assert plan.returncode == 0
    assert "waits for an earlier stage" in plan.stdout


SECTIONS = (
    *("Accuracy", "Memory against its budget", "Time", "Pareto fronts of the subnet search"),
    *("Path of the space search", "Training", "The network", "Memory over time"),
    *("Flash by layer", "Quantisation by layer", "Confusion matrix", "Right and wrong pictures"),
    *("Build and flash", "Configuration and versions"),
)


def test_the_page_tells_what_the_report_does(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    assert len(text) < 2_000_000
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", text) == list(SECTIONS)
    assert "has not run" not in text
    assert "Not shown" not in text
    content = report(finished)
    wrong = round(359 * (1 - content["accuracy_percent"]["int8"] / 100))
    assert f"Integer reference on all 359 test images: {wrong} wrong." in text
    assert f"is right on {content['accuracy_percent']['int8']:.2f} % of the 359 test" in text
    sizes = content["sram_bytes"]["total"], content["flash_bytes"]["total"]
    if None not in sizes:
        assert f"{sizes[0]:,} bytes of SRAM and {sizes[1]:,} bytes of flash" in text
    assert text.count('<li class="wrong">') == min(12, wrong)


def test_the_page_of_part_of_a_run(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir, ignore=shutil.ignore_patterns("build", "port", "search"))
    (run_dir / "stages" / "report.json").unlink()
    text = write_run_page(RunDir(run_dir)).read_text()
    assert "steering images, which its training may have seen" in text
    assert text.count("The stage report has not run.") == 2
    write_json(run_dir / "finetuned_subnet.json", "subnet", {})
    with pytest.raises(
        ArtifactError, match=r"finetuned_subnet\.json: not as evolve\.finetune left"
    ):
        write_run_page(RunDir(run_dir))
    for name in ("oplib.export", "evolve.finetune", "evolve.search"):
        (run_dir / "stages" / f"{name}.json").unlink()
    text = write_run_page(RunDir(run_dir)).read_text()
    assert "so far it has run evolve.space, supernet.train; the space search chose" in text
    assert text.count("The stage oplib.export has not run.") == 8


def test_the_page_in_a_browser(finished: Path) -> None:
    if browser.program() is None:
        pytest.skip("chromium not found; `apt-get install chromium` installs it")
    with browser.Browser() as window:
        for width in (380, 1200):
            window.open(finished / "report.html", width)
            assert window.evaluate("document.documentElement.scrollWidth") == width
            window.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert window.evaluate("document.documentElement.scrollWidth") == width
        charts = "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)"
        assert min(window.evaluate(charts)) > 200
        pictures = "[...document.images].every(i => i.complete && i.naturalWidth === 8)"
        assert window.evaluate(pictures)
        assert window.pdf().startswith(b"%PDF")
        assert window.faults == []
        window.evaluate("console.error('a fault is seen')")
        assert "a fault is seen" in window.faults[-1]
