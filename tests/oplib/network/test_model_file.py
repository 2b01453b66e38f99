"""An integer network written and read again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import ArtifactError
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.model_file import load_model, save_model
from oplib.network.reference import run_integer

NAMES = tuple("0123456789")


def test_what_is_read_gives_the_same_logits(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    network = random_network(small_subnet, preprocessing)
    save_model(tmp_path, network.integer, small_subnet, Forms(), NAMES)
    saved = load_model(tmp_path)
    assert (saved.subnet, saved.forms, saved.class_names) == (small_subnet, Forms(), NAMES)
    assert np.array_equal(
        run_integer(saved.integer, network.images), run_integer(network.integer, network.images)
    )
    path = tmp_path / "model_int8.json"
    content = json.loads(path.read_text())
    del content["quant"]
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"model_int8\.json: damaged: KeyError\('quant'\)"):
        load_model(tmp_path)
