"""Integers that are there are exported as they are, for any device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mcuformer.data.dataset import DataConfig
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError, ConfigError
from mcuformer.run.artifact import write_json
from mcuformer.zoo_entry import ZooEntry
from oplib.export import EXPORT
from oplib.export_config import ExportConfig, ExportSettings
from oplib.exportable import exportable
from oplib.forms import Forms, Passes
from oplib.network.model_file import load_model
from oplib.network.reference import run_integer


@pytest.fixture
def config(tmp_path: Path, digits_config: DataConfig, stm32f746: Device) -> ExportConfig:
    return ExportConfig(
        run_dir=str(tmp_path / "run"),
        device=stm32f746,
        data=digits_config.model_copy(update={"format": "npz", "root": "/nowhere"}),
        export=ExportSettings(),
        network="zoo:digits",
    )


def test_an_entry_is_planned_for_another_device_without_data(config: ExportConfig) -> None:
    """Its integers are the entry's, checked on its own pictures and then on random pixels."""
    found, entry = exportable(config), ZooEntry.named("zoo:digits")
    own = load_model(entry.folder).integer
    images = found.check_images(16, config.seed)
    assert images.shape == (16, 8, 8, 1)
    known = {image.tobytes() for image in load_digits().images.astype(np.uint8)}
    assert [image.tobytes() in known for image in images] == [True] * 10 + [False] * 6
    assert images[10:].max() == 16  # the largest value of a pixel
    assert np.array_equal(run_integer(found.integer, images), run_integer(own, images))
    assert found.accuracy["accuracy_percent"]["int8"] == entry.manifest.accuracy_percent["int8"]
    assert found.source.describe() == "the integers of zoo:digits"
    assert found.cost.footprint.weights_bytes == entry.manifest.footprint.weights_bytes
    tight = config.model_copy(update={"budget": BudgetConfig(sram_bytes=1000)})
    with pytest.raises(BudgetError, match="the network does not fit stm32f746"):
        exportable(tight)


def test_forms_of_integers_are_settled_and_passes_are_not(config: ExportConfig) -> None:
    strip = Forms(passes=Passes(input="strip"))
    assert exportable(config.model_copy(update={"forms": strip})).target.forms == strip
    with pytest.raises(ConfigError, match=r"forms\.gelu: .*got sigmoid, expected table"):
        exportable(config.model_copy(update={"forms": Forms(gelu="sigmoid")}))


def test_networks_of_a_run_are_not_replaced(config: ExportConfig) -> None:
    """The stage depends on the entry alone, whatever `data` says, and needs a folder of its own."""
    stage = EXPORT.stage(config)
    assert stage.inputs == [ZooEntry.named("zoo:digits").folder]
    assert stage.config["data"] is None
    assert {"model.safetensors", "finetuned_subnet.json"} < set(stage.outputs)
    record = {"stage": "evolve.finetune", "fingerprint": "", "config": {}, "inputs": []}
    record |= {"outputs": {}, "seconds": 1.0, "started": "", "git_revision": "", "versions": {}}
    write_json(config.run.record_file("evolve.finetune"), "stage", record)
    with pytest.raises(ConfigError, match="run_dir: a run with a network of its own"):
        EXPORT.stage(config)
