"""`mcuformer export`: a network of the zoo becomes a whole run, whose integers go on to others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from mcuformer import inspection
from mcuformer.errors import ConfigError
from mcuformer.reexport import export_network


def predicted(place: str, picture: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the likeliest class of each computation with its probability."""
    capsys.readouterr()
    inspection.predict_picture(place, str(picture))
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    return {row[1].strip(): row[2].strip() for row in rows}


def test_an_export_of_the_zoo_is_a_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host_tools: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export_network("zoo:digits", "device=stm32f746") == 0
    run = Path("runs/zoo/digits/stm32f746")
    content = json.loads((run / "export.json").read_text())
    assert content["bit_exact"]["host"] is True
    assert content["bit_exact"]["emulated"] in (True, None)
    assert content["check_images"] == 16
    manifest = json.loads((run / "firmware" / "manifest.json").read_text())
    assert manifest["device"]["name"] == "stm32f746"
    digits = load_digits().images.astype(np.uint8)
    built_in = np.frombuffer((run / "firmware" / "model_test.bin").read_bytes(), np.uint8)
    known = {image.tobytes() for image in digits}
    assert all(image.tobytes() in known for image in built_in.reshape(10, 8, 8))
    picture = tmp_path / "digit.png"
    Image.fromarray(np.floor(digits[0] * (255 / 16) + 0.5).astype(np.uint8)).save(picture)
    of_run = predicted(str(run), picture, capsys)
    assert of_run == predicted("zoo:digits", picture, capsys)
    assert of_run["int8"] == of_run["host C"]
    assert of_run["int8"].split()[0] == "0"
    inspection.inspect_run(str(run))
    printed = " ".join(capsys.readouterr().out.split())
    assert "exported the integers of zoo:digits for stm32f746" in printed
    assert "accuracy on 359 test images" in printed
    assert "complete" not in printed
    assert export_network("zoo:digits", "device=stm32f746") == 0
    assert "complete, nothing to do" in capsys.readouterr().err


def test_what_has_no_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match="device: missing"):
        export_network("zoo:digits", "export.name=a")
    for argument in ("data=mnist", "data.root=x", "weights=x", "network=zoo:digits"):
        with pytest.raises(ConfigError, match="settled by the network"):
            export_network("zoo:digits", "device=stm32f746", argument)
