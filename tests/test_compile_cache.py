"""The launcher recompiles if anything that affects the output changed, and only then."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).with_name("compile_cache.py")


@pytest.mark.usefixtures("host_tools")
def test_equal_sources_are_compiled_once(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()

    def compile_in(name: str, header: str, *more: str) -> bytes:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "a.h").write_text(header)
        (folder / "a.c").write_text('#include "a.h"\nint f(void) { return VALUE; }\n')
        command = ["cc", *more, f"-I{folder}", "-o", str(folder / "a.o"), "-c", str(folder / "a.c")]
        launcher = [sys.executable, "-ES", str(CACHE), str(cache)]
        subprocess.run([*launcher, *command], check=True)
        return (folder / "a.o").read_bytes()

    one = compile_in("one", "#define VALUE 1\n")
    assert compile_in("two", "/* the same */\n#define VALUE 1\n") == one
    assert len(list(cache.iterdir())) == 1
    assert compile_in("one", "#define VALUE 2\n") != one
    compile_in("one", "#define VALUE 1\n", "-O2")
    assert len(list(cache.iterdir())) == 3
    shutil.rmtree(tmp_path / "two")
    with pytest.raises(subprocess.CalledProcessError):
        compile_in("one", "#define VALUE nothing\n")
    assert len(list(cache.iterdir())) == 3
