"""Run directories: atomic files, format versions, locks, and records of finished stages."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensor_bytes
from safetensors.numpy import save as save_tensor_bytes

from mcuformer import __version__
from mcuformer.errors import ArtifactError
from mcuformer.value import Value

FORMAT_VERSION = 1
Arrays = dict[str, npt.NDArray[Any]]
ValueT = TypeVar("ValueT", bound=Value)


def canonical_json(content: Any) -> str:
    """Return `content` as JSON text; equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: readers see the old content or the new, nothing in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write an artefact atomically, with its kind and format version as the first keys."""
    head = {"format": f"mcuformer/{kind}", "format_version": FORMAT_VERSION}
    text = json.dumps({**head, **content}, indent=1, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """Return the content of an artefact of `kind`.

    Raises:
        ArtifactError: the file is missing, damaged, or of another kind or version.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ArtifactError("no such file", where=path, expected=f"a {kind} artefact") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"damaged: {error}", where=path) from error
    if not isinstance(content, dict):
        raise ArtifactError("damaged: not a JSON object", where=path)
    got, version = content.pop("format", None), content.pop("format_version", None)
    if got != f"mcuformer/{kind}":
        raise ArtifactError("wrong kind of file", where=path, got=got, expected=f"mcuformer/{kind}")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            "unsupported format version", where=path, got=version, expected=FORMAT_VERSION
        )
    return content


def read_value(path: Path, kind: str, model: type[ValueT]) -> ValueT:
    """Read an artefact of `kind` whose content is one typed value.

    Raises:
        ArtifactError: the file is missing, damaged, or of another kind or version.
        ConfigError: a field is missing, unknown or invalid.
    """
    return model.parse(read_json(path, kind), where=str(path))


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write named arrays as safetensors, atomically; equal arrays give equal bytes."""
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    write_bytes(path, save_tensor_bytes(ordered))


def load_arrays(path: Path) -> Arrays:
    """Read the arrays of a safetensors file.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        return load_tensor_bytes(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError("no such file", where=path, expected="safetensors weights") from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"damaged: {error}", where=path) from error


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a directory.

    Raises:
        ArtifactError: `path` does not exist.
    """
    if path.is_dir():
        parts = [
            f"{file.relative_to(path)}:{digest(file.read_bytes())}"
            for file in sorted(path.rglob("*"))
            if file.is_file()
        ]
        return digest("\n".join(parts).encode())
    if not path.is_file():
        raise ArtifactError("no such file", where=path)
    return digest(path.read_bytes())


@contextmanager
def locked(directory: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a directory, which is created if it is missing.

    The kernel releases the lock when the process ends, however it ends.

    Args:
        directory: directory to lock.
        wait: whether to wait while another process holds the lock, instead of failing.

    Raises:
        ArtifactError: another process holds the lock, or the directory cannot be created.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ArtifactError(f"cannot be used: {error}", where=directory) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        os.close(handle)
        raise ArtifactError("in use by another process", where=directory) from error
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory that replaces `path` at the end; removed if the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.chmod(temporary, 0o755)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def provenance() -> dict[str, Any]:
    """Return the git revision and the versions of Python and of the main packages."""
    packages = ("torch", "timm", "numpy", "scikit-learn", "hydra-core", "pydantic")
    versions = {"mcuformer": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"git_revision": _git_revision(), "versions": versions}


def _git_revision() -> str:
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return "unknown"
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


@dataclass(frozen=True)
class Stage:
    """One step of a run: its settings, inputs and outputs.

    Args:
        name: name of the record, ``stages/NAME.json``.
        config: settings that the result depends on, as plain containers.
        inputs: files or directories that the stage reads.
        outputs: files or directories that it writes, relative to the run directory.
    """

    name: str
    config: dict[str, Any]
    inputs: Sequence[Path]
    outputs: Sequence[str]


class RunDir:
    """The directory of one run, which holds all of its artefacts."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, name: str) -> Path:
        """Return the path of the artefact `name`."""
        return self.path / name

    def locked(self) -> AbstractContextManager[None]:
        """Hold the run directory; see :func:`locked`."""
        return locked(self.path, wait=False)

    def fingerprint(self, stage: Stage) -> str:
        """Return the digest of everything that the stage's result depends on.

        Raises:
            ArtifactError: an input is missing.
        """
        content = {
            "stage": stage.name,
            "version": [__version__, FORMAT_VERSION],
            "config": stage.config,
            "inputs": [file_digest(path) for path in stage.inputs],
        }
        return digest(canonical_json(content).encode())

    def why_stale(self, stage: Stage) -> str | None:
        """Return why the stage must run, or None if its artefacts are complete and current."""
        record_path = self.file(f"stages/{stage.name}.json")
        if not record_path.exists():
            return "not run yet"
        try:
            record = read_json(record_path, "stage")
            if record["fingerprint"] != self.fingerprint(stage):
                return "its configuration or inputs changed"
            for name, expected in record["outputs"].items():
                if file_digest(self.file(name)) != expected:
                    return f"{name} changed since"
        except (ArtifactError, KeyError) as error:
            return f"an artefact is missing or damaged ({error})"
        return None

    def run_stage(self, stage: Stage, function: Callable[[], None]) -> float:
        """Run `function`, record the stage, and return the seconds it took.

        The old record is removed first and the new one is written last, so an interrupted stage
        never passes for a complete one.
        """
        record_path = self.file(f"stages/{stage.name}.json")
        fingerprint = self.fingerprint(stage)
        record_path.unlink(missing_ok=True)
        started = time.time()
        function()
        seconds = time.time() - started
        content = {
            "stage": stage.name,
            "fingerprint": fingerprint,
            "config": stage.config,
            "inputs": [str(path) for path in stage.inputs],
            "outputs": {name: file_digest(self.file(name)) for name in stage.outputs},
            "seconds": round(seconds, 3),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            **provenance(),
        }
        write_json(record_path, "stage", content)
        return seconds

    def seconds(self, stage_name: str) -> float:
        """Return the duration of a completed stage in seconds.

        Raises:
            ArtifactError: the stage has no record.
        """
        return float(read_json(self.file(f"stages/{stage_name}.json"), "stage")["seconds"])
