"""The exported network is one value: export, report, predict and inspect read the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from mcuformer import inspection
from mcuformer.data.dataset import DataConfig, Dataset, load
from mcuformer.device import Device
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.report.measure import REPORT, ReportConfig
from mcuformer.run.artifact import RunDir, read_json, save_arrays, write_json
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib.export import EXPORT
from oplib.export_config import ExportConfig, ExportSettings
from oplib.exportable import exportable
from oplib.forms import Forms
from oplib.network.model_file import load_model
from oplib.network.reference import run_float, run_integer
from oplib.network.source import LearnedScales, NetworkSource, save_learned, save_network
from oplib.network.timm_vit import TimmVit
from oplib.network.vit import float_model, node_params, random_weights
from oplib.quantize.calibrate import calibrate, choose_quant
from supernet.checkpoint import model_arrays
from supernet.data import pad_value, to_tensor
from supernet.vit import Vit

SEEDS = {"finetuned": 1, "search": 2, "qat": 3}  # a run's three networks have different weights
NETWORKS = ("model.safetensors", "finetuned_subnet.json", "qat.safetensors", "qat.json")
OWN = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 24}
OWN |= {"depth": 2, "num_heads": 3, "mlp_ratio": 2.0, "class_token": False, "global_pool": "avg"}


@pytest.fixture(scope="module")
def dataset(digits_config: DataConfig) -> Dataset:
    return load(digits_config, 8)


@pytest.fixture
def run(
    tmp_path: Path, small_subnet: SubnetConfig, digits_space: SearchSpace, dataset: Dataset
) -> RunDir:
    """A run whose stages before the export left random weights."""
    run = RunDir(tmp_path / "run")
    weights = {
        name: random_weights(small_subnet, np.random.default_rng(seed))
        for name, seed in SEEDS.items()
    }
    for name in ("finetuned", "search"):
        weights_file, subnet_file = NetworkSource(name=name).files(run)
        save_arrays(weights_file, weights[name])
        write_json(subnet_file, "subnet", small_subnet.dump())
    model = float_model(small_subnet, weights["qat"], dataset.preprocessing, "test")
    quant = choose_quant(model.graph, calibrate(model, dataset.steering.images[:64]).ranges)
    params = node_params(small_subnet, weights["qat"], dataset.preprocessing)
    by_node = {f"{node}|{kind}": x for node, kinds in params.items() for kind, x in kinds.items()}
    save_learned(run, small_subnet, by_node, LearnedScales(Forms(), quant))
    write_json(run.file("space.json"), "space", {"point": digits_space.point_at((0, 0)).dump()})
    return run


@pytest.fixture
def configs(
    tmp_path: Path, digits_config: DataConfig, digits_space: SearchSpace, stm32f746: Device
) -> tuple[ExportConfig, ReportConfig]:
    """Configurations of the run's export and report."""
    common = {"run_dir": str(tmp_path / "run"), "device": stm32f746, "data": digits_config}
    settings = ExportSettings(calibration_images=64, check_images=2)
    few = {"embed_dim": (32,), "num_heads": (2,), "mlp_ratio": (2.0,)}  # kinds of blocks to plan
    space = digits_space.model_copy(update=few)
    return ExportConfig(**common, export=settings), ReportConfig(**common, space=space)


def picture(dataset: Dataset, place: Path) -> Path:
    """Write the first test digit as a picture of 0 to 255, which reading divides by 255 / 16."""
    pixels = np.floor(dataset.test.images[0][:, :, 0] * (255 / 16) + 0.5).astype(np.uint8)
    path = place / "digit.png"
    Image.fromarray(pixels).save(path)
    return path


def predicted(run: RunDir, path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """Return class and percentage of each network, as ``predict`` prints them."""
    capsys.readouterr()
    inspection.predict_picture(str(run.path), str(path))
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    return {row[1].strip(): row[2].split()[:2] for row in rows}


def percent(logits: np.ndarray) -> float:
    """Return the probability of the likeliest class, in percent."""
    powers = np.exp(logits.astype(np.float64))
    return 100 * float(powers.max() / powers.sum())


@pytest.mark.parametrize("source", SEEDS)
def test_every_source_is_reported_and_predicted(
    run: RunDir,
    small_subnet: SubnetConfig,
    dataset: Dataset,
    configs: tuple[ExportConfig, ReportConfig],
    capsys: pytest.CaptureFixture[str],
    source: str,
) -> None:
    """Accuracy and probabilities are torch's with the weights of the source itself."""
    export, report = configs
    settings = export.export.model_copy(update={"source": source})
    EXPORT.execute(export.model_copy(update={"export": settings}))
    REPORT.execute(report)
    found = read_json(run.file("report_measured.json"), "report")["accuracy_percent"]
    logits = {}
    for name in {source, "search"}:
        vit = Vit(small_subnet, pad_value(dataset.preprocessing)).eval()
        weights = random_weights(small_subnet, np.random.default_rng(SEEDS[name]))
        vit.load_state_dict({key: torch.from_numpy(x) for key, x in weights.items()})
        with torch.no_grad():
            images = to_tensor(dataset.test.images[:], dataset.preprocessing)
            logits[name] = vit(images).numpy()
    for kind, name in (("float", source), ("inherited", "search")):
        right = float(np.mean(logits[name].argmax(axis=1) == dataset.test.labels))
        assert found[kind] == pytest.approx(100 * right, abs=1e-4)
    shown = predicted(run, picture(dataset, run.path), capsys)
    best = int(logits[source][0].argmax())
    assert int(shown["float"][0]) == best
    assert float(shown["float"][1]) == pytest.approx(percent(logits[source][0]), abs=0.06)
    assert shown["int8"] == shown["host C"]
    inspection.inspect_run(str(run.path))
    assert f"exported {source} (" in capsys.readouterr().out
    is_taken_as_it_is(export, run, dataset)


def is_taken_as_it_is(export: ExportConfig, run: RunDir, dataset: Dataset) -> None:
    """Check that another run takes the exported integers, with their float weights and pictures."""
    other = {"network": str(run.path), "run_dir": f"{run.path}_on", "data": export.data}
    stage = EXPORT.stage(export.model_copy(update=other))
    found = exportable(export.model_copy(update=other))
    images = dataset.test.images[:8]
    expected = run_integer(load_model(run.path).integer, images)
    assert np.array_equal(run_integer(found.integer, images), expected)
    assert np.array_equal(found.images, dataset.steering.images[:10])
    taker = RunDir(f"{run.path}_on")
    save_network(taker, found.network)
    kept = found.source.read(taker)
    assert all(taker.file(name).exists() == (name in stage.outputs) for name in NETWORKS)
    floating = kept.float_model(dataset.preprocessing)
    assert np.array_equal(run_float(floating, images), run_float(found.floating, images))


def test_weights_of_ones_own_are_predicted(
    dataset: Dataset,
    configs: tuple[ExportConfig, ReportConfig],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.manual_seed(0)
    vit, weights = VisionTransformer(**OWN).eval(), tmp_path / "own.safetensors"
    save_arrays(weights, model_arrays(vit))
    run = configs[0].run
    own = {"weights": str(weights), "vit": TimmVit.parse(OWN)}
    EXPORT.execute(configs[0].model_copy(update=own))
    with torch.no_grad():
        logits = vit(to_tensor(dataset.test.images[:1], dataset.preprocessing)).numpy()[0]
    shown = predicted(run, picture(dataset, tmp_path), capsys)
    assert float(shown["float"][1]) == pytest.approx(percent(logits), abs=0.06)
    inspection.inspect_run(str(run.path))
    printed = " ".join(capsys.readouterr().out.split())
    assert "exported your own weights (" in printed


def test_what_cannot_be_read_is_refused(run: RunDir, dataset: Dataset) -> None:
    with pytest.raises(ArtifactError, match=r"export\.json: no such file"):
        NetworkSource.exported(run)
    write_json(run.file("export.json"), "export", {"footprint": {}})
    with pytest.raises(ArtifactError, match=r"names no network; run oplib\.export again"):
        NetworkSource.exported(run)
    network = NetworkSource(name="qat").read(run)
    with pytest.raises(ConfigError, match=r"forms: evolve\.qat trained for other forms"):
        network.float_model(dataset.preprocessing, Forms(gelu="sigmoid"))
    kept = {name: values for name, values in network.weights.items() if name != "head|weight"}
    save_arrays(network.where, kept)
    with pytest.raises(ArtifactError, match=r"weight head\|weight does not fit .*got nothing"):
        NetworkSource(name="qat").read(run).float_model(dataset.preprocessing)
    write_json(run.file("qat.json"), "qat", {"subnet": network.subnet.dump(), "forms": {}})
    with pytest.raises(ArtifactError, match=r"qat\.json: damaged: KeyError"):
        NetworkSource(name="qat").read(run)
