"""Run directories: atomic files, format versions, and records of finished stages."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from mcuformer.errors import ArtifactError, McuformerError
from mcuformer.run.folder import UNFINISHED, locked, writing
from mcuformer.run.user_file import read_json_text
from mcuformer.value import Value

FORMAT_VERSION = 1
NOT_RECORDED = "not recorded"  # what records of earlier versions do not tell
THREADS = "threads.json"  # a run's number of CPU threads
Arrays = dict[str, npt.NDArray[Any]]
ValueT = TypeVar("ValueT", bound=Value)


def canonical_json(content: Any) -> str:
    """Return `content` as JSON text; equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: readers see the old content or the new, nothing in between.

    Raises:
        ArtifactError: the disk is full, or cannot be written to.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        with writing(path), os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with writing(path):
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
    content = read_json_text(path)
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


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Turn the faults of code that takes a file's content apart into one line.

    Raises:
        ArtifactError: a part of the content is missing, or of another type.
    """
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ArtifactError(f"damaged: {error!r}", where=path) from error


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
        return digest("\n".join(parts).encode(errors="surrogateescape"))  # names as on disk
    if not path.is_file():
        raise ArtifactError("no such file", where=path)
    return digest(path.read_bytes())


def provenance() -> dict[str, Any]:
    """Return the machine, the git revision, and the versions of Python and of the main packages."""
    packages = ("torch", "timm", "numpy", "scikit-learn", "hydra-core", "pydantic")
    versions = {"mcuformer": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    machine = f"{cpu_name()}, {os.cpu_count()} cores"
    return {"git_revision": _git_revision(), "versions": versions, "machine": machine}


def cpu_name() -> str:
    """Return the name of the processor, or of its architecture where the system tells no more."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


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


class StageRecord(Value):
    """What a stage left: ``stages/NAME.json``.

    Args:
        stage: name of the stage.
        fingerprint: digest of everything that its result depends on.
        config: settings that the result depends on.
        inputs: files that were read.
        outputs: digest of each output, by its path in the run directory.
        seconds: duration.
        started: when it began (UTC).
        git_revision: revision of the checkout, or ``unknown``.
        versions: versions of Python and of the main packages.
        machine: processor and number of cores.
    """

    stage: str
    fingerprint: str
    config: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: dict[str, str]
    seconds: float
    started: str
    git_revision: str
    versions: dict[str, str]
    machine: str = NOT_RECORDED


class RunDir:
    """The directory of one run, which holds all of its artefacts."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, name: str) -> Path:
        """Return the path of the artefact `name`."""
        return self.path / name

    def locked(self) -> AbstractContextManager[None]:
        """Hold the run directory; see :func:`mcuformer.run.folder.locked`."""
        return locked(self.path, wait=False, notes=(THREADS,))

    def record_file(self, stage_name: str) -> Path:
        """Return the path of a stage's record."""
        return self.file(f"stages/{stage_name}.json")

    def record(self, stage_name: str) -> StageRecord:
        """Return the record of a finished stage.

        Raises:
            ArtifactError: there is none, or it is damaged.
            ConfigError: a field of it is missing or wrong.
        """
        return read_value(self.record_file(stage_name), "stage", StageRecord)

    def records(self) -> list[StageRecord]:
        """Return the records of all finished stages, in the order in which they began.

        Raises:
            McuformerError: as :meth:`record`.
        """
        names = [path.stem for path in self.file("stages").glob("*.json")]
        return sorted(map(self.record, names), key=lambda record: (record.started, record.stage))

    def changed_output(self, record: StageRecord) -> str | None:
        """Return the first output that is missing or not as its stage left it, or None."""
        for name, expected in record.outputs.items():
            path = self.file(name)
            if not path.exists() or file_digest(path) != expected:
                return name
        return None

    def refuse_changed(self, paths: Iterable[Path]) -> None:
        """Refuse files of this run that are not as their stages left them.

        A file that no stage wrote, for instance a network made by hand, is not compared.

        Raises:
            ArtifactError: naming the first such file.
            McuformerError: as :meth:`record`.
        """
        names = {path.relative_to(self.path).as_posix() for path in paths if self._holds(path)}
        for record in self.records():
            chosen = {name: value for name, value in record.outputs.items() if name in names}
            changed = self.changed_output(record.model_copy(update={"outputs": chosen}))
            if changed is not None:
                raise ArtifactError(
                    f"not as {record.stage} left it; run that stage again",
                    where=self.file(changed),
                )

    def _holds(self, path: Path) -> bool:
        return path.is_relative_to(self.path)

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
        if not self.record_file(stage.name).exists():
            return "not run yet"
        try:
            record = self.record(stage.name)
            if record.fingerprint != self.fingerprint(stage):
                return "its configuration or inputs changed"
            changed = self.changed_output(record)
            return None if changed is None else f"{changed} is missing or changed since"
        except McuformerError as error:
            return f"an artefact is missing or damaged ({error})"

    def run_stage(self, stage: Stage, function: Callable[[], None]) -> float:
        """Run `function`, record the stage, and return the seconds it took.

        The old record stays until the new one replaces it: it tells the old outputs, which are
        whole until the first of them is replaced, from those of an interrupted stage.
        """
        fingerprint = self.fingerprint(stage)
        started = time.time()
        function()
        seconds = time.time() - started
        record = StageRecord(
            stage=stage.name,
            fingerprint=fingerprint,
            config=stage.config,
            inputs=tuple(str(path) for path in stage.inputs),
            outputs={name: file_digest(self.file(name)) for name in stage.outputs},
            seconds=round(seconds, 3),
            started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            **provenance(),
        )
        write_json(self.record_file(stage.name), "stage", record.dump())
        return seconds

    def seconds(self, stage_name: str) -> float:
        """Return the duration of a completed stage in seconds.

        Raises:
            McuformerError: as :meth:`record`.
        """
        return self.record(stage_name).seconds
