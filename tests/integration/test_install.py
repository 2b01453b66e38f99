"""An installed wheel finds its configuration and its C, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path


def test_the_wheel_is_whole(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    listing = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if (root / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((root / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(tmp_path), str(source)], check=True)
    site, empty = tmp_path / "site", tmp_path / "empty"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    empty.mkdir()
    environment = os.environ | {"PYTHONPATH": str(site)}
    script = "import mcuformer, oplib.codegen.runtime as f; print(mcuformer.__file__, f.RUNTIME)"
    printed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.count(str(site)) == 2
    shipped = {str(p.relative_to(root / "oplib")) for p in (root / "oplib/runtime").rglob("*.[ch]")}
    assert len(shipped) > 12
    assert all((site / "oplib" / name).is_file() for name in shipped)
    assert (site / "oplib/runtime/CMakeLists.txt").is_file()
    entries = {str(p.relative_to(root)) for p in (root / "zoo").glob("*/*")}
    assert {"zoo/digits/manifest.json", "zoo/digits/weights.safetensors"} <= entries
    for name in entries:
        assert (site / "mcuformer" / name).read_bytes() == (root / name).read_bytes()
    listing = [sys.executable, "-m", "mcuformer", "zoo"]
    printed = subprocess.run(
        listing, cwd=empty, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "zoo:digits" in printed
    templates = root / "mcuformer/report/templates"
    assert all((site / path.relative_to(root)).is_file() for path in templates.iterdir())
    for module in ("mcuformer", "evolve.space"):
        result = subprocess.run(
            [sys.executable, "-m", module, "--cfg", "job", "device=stm32f746"],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "name: stm32f746" in result.stdout
