"""A compiler launcher for CMake that copies what an equal call compiled before.

    python compile_cache.py FOLDER cc -c a.c -o a.o ...

Every firmware holds the same kernels, and tests build dozens of firmwares. Two calls are equal if
compiler, options and preprocessed source are: paths of headers and of the output do not count.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PATHS = ("-o", "-I", "-isystem", "-MF", "-MT")  # options whose path changes no byte of the output


def options(command: list[str]) -> list[str]:
    """Return what the output depends on besides the source."""
    kept, rest = [], iter(command)
    for word in rest:
        if word in PATHS:
            next(rest)
        elif not word.startswith("-I") and not word.endswith((".c", ".s", ".S")):
            kept.append(word)
    return kept


def main(folder: Path, command: list[str]) -> int:
    """Run the compiler, or copy its earlier output; return its exit code."""
    if "-c" not in command or "-o" not in command:
        return subprocess.run(command, check=False).returncode
    at = command.index("-o")
    output, without = Path(command[at + 1]), [*command[:at], *command[at + 2 :]]
    preprocess = [word for word in without if word != "-c"]  # writes the dependency file of -MD too
    source = subprocess.run([*preprocess, "-E", "-P"], capture_output=True, check=False)
    text = "\0".join(options(command)).encode() + source.stdout
    known = folder / hashlib.sha256(text).hexdigest()
    if source.returncode == 0 and known.exists():
        shutil.copyfile(known, output)
        return 0
    result = subprocess.run(command, check=False)
    if result.returncode == 0 and source.returncode == 0:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as copy:
            copy.write(output.read_bytes())
        os.replace(copy.name, known)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
