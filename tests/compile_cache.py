"""A compiler launcher for CMake that copies the object file of an equal earlier call.

    python compile_cache.py FOLDER cc -c a.c -o a.o ...

Every firmware holds the same kernels, and tests build dozens of firmwares. Two calls are equal if
compiler, options and preprocessed source are: paths of headers and of the output do not count.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256  # few imports: this starts once per file that is compiled

PATHS = ("-o", "-I", "-isystem", "-MF", "-MT")  # options whose path changes no byte of the output


def options(command: list[str]) -> list[str]:
    """Return everything besides the source on which the output depends."""
    kept, rest = [], iter(command)
    for word in rest:
        if word in PATHS:
            next(rest)
        elif not word.startswith("-I") and not word.endswith((".c", ".s", ".S")):
            kept.append(word)
    return kept


def run(command: list[str]) -> int:
    """Run a program; return its exit code."""
    process = os.posix_spawnp(command[0], command, os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def main(folder: str, command: list[str]) -> int:
    """Run the compiler, or copy its earlier output; return its exit code."""
    if "-c" not in command or "-o" not in command:
        return run(command)
    at = command.index("-o")
    output, own = command[at + 1], f"{folder}/{os.getpid()}"
    preprocess = [word for word in [*command[:at], *command[at + 2 :]] if word != "-c"]
    if run([*preprocess, "-E", "-P", "-w", "-o", own]) != 0:  # writes -MD's dependency file too
        return run(command)
    key = "\0".join(options(command)).encode() + read(own)
    os.unlink(own)
    known = f"{folder}/{sha256(key).hexdigest()}"
    if os.path.exists(known):
        write(output, read(known))
        return 0
    code = run(command)
    if code == 0:
        write(own, read(output))
        os.replace(own, known)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
