"""Which operators a network needs: no less than the linker says, and not much more."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from oplib.codegen.runtime import RUNTIME, needed_sources


@pytest.mark.usefixtures("host_tools")
def test_a_kernel_brings_what_its_object_refers_to(tmp_path: Path) -> None:
    """At -O0, where the compiler drops no call."""
    sources = sorted((RUNTIME / "src").glob("*.c"))
    flags = ["-std=c99", "-O0", f"-I{RUNTIME / 'include'}", "-c"]
    subprocess.run(["cc", *flags, *map(str, sources)], cwd=tmp_path, check=True)
    objects = [f"{source.stem}.o" for source in sources]
    command = ["nm", "-A", *objects]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    defined, used = {}, {}
    for line in listed.stdout.splitlines():
        file, *parts = line.replace(":", " ").split()
        stem = file.removesuffix(".o")
        if parts[-2] == "T":
            defined[parts[-1]] = stem
        elif parts[-2] == "U":
            used.setdefault(stem, set()).add(parts[-1])
    assert len(defined) > len(sources) > 50
    for source in sources:
        direct = {defined[name] for name in used.get(source.stem, ()) if name in defined}
        assert direct <= needed_sources([source.stem])


def test_a_layer_brings_only_its_own() -> None:
    assert needed_sources(["take_token"]) == {"take_token"}
    tile = {"tile_linear_s8", "tile_pack_s8", "tile_pack_rows_s8"}
    assert needed_sources(["linear_s8"]) == {"linear_s8", "product_4x2", *tile}
