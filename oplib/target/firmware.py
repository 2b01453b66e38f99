"""Write an exported network: the component, and beside it ports and a board that run it.

Each of the folders has a ``manifest.json`` that lists every file with its digest. A folder that
holds anything else, or a file that was edited, is never replaced.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import digest, file_digest, parsing, read_json, write_json
from mcuformer.run.folder import replacing_directory
from oplib.codegen.component import Component
from oplib.codegen.emit import emit, manifest
from oplib.plan.check_plan import check_plan
from oplib.target.board_linker import board_files
from oplib.target.ports import port_files

COMPONENT, PORT, BOARDS, PACKAGE = "firmware", "port", "boards", "package"  # of an export
KINDS = {COMPONENT: "firmware", PORT: "port", BOARDS: "boards", PACKAGE: "package"}  # of manifests
MANIFEST = "manifest.json"
NAMED_FILES = 3  # at most, in a message


def write_firmware(folder: Path, component: Component) -> None:
    """Write component, ports and the device's board into a folder, each whole or not at all.

    Equal inputs give equal bytes.

    Args:
        folder: where ``firmware``, ``port`` and ``boards`` are created or replaced. Without a
            board, ``boards`` of an earlier export is removed.
        component: the network.

    Raises:
        ArtifactError: one of them holds files of the user's, or cannot be written.
        PlanError: the plan breaks a rule; nothing is written.
    """
    check_plan(component.scheduled.calls, component.scheduled.plan)
    refuse_foreign_files(folder)
    board = board_files(component.device)
    write_folder(folder / COMPONENT, KINDS[COMPONENT], emit(component), manifest(component))
    write_folder(folder / PORT, KINDS[PORT], port_files(component), {})
    if board:
        write_folder(folder / BOARDS, KINDS[BOARDS], board, {})
    elif (folder / BOARDS).exists():
        shutil.rmtree(folder / BOARDS)


def write_folder(
    path: Path, kind: str, files: Mapping[str, bytes], content: Mapping[str, Any]
) -> None:
    """Write a generated folder and its manifest, whole or not at all.

    Args:
        path: folder to create or replace.
        kind: kind of its manifest.
        files: content by path.
        content: what the manifest tells besides the digests of the files.

    Raises:
        ArtifactError: it cannot be written.
    """
    digests = {name: digest(data) for name, data in sorted(files.items())}
    with replacing_directory(path) as temporary:
        for name, data in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(data)
        write_json(temporary / MANIFEST, kind, {**content, "files": digests})


def refuse_foreign_files(folder: Path) -> None:
    """Refuse generated folders that hold anything that no export wrote, or that was edited.

    Args:
        folder: where an export writes its folders.

    Raises:
        ArtifactError: naming the first such files.
    """
    for name, kind in KINDS.items():
        refuse_foreign(folder / name, kind)


def refuse_foreign(path: Path, kind: str) -> None:
    """Refuse a generated folder that holds anything that no export wrote, or that was edited.

    Args:
        path: the folder, which may be missing.
        kind: kind of its manifest.

    Raises:
        ArtifactError: naming the first such files.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ArtifactError("not replaced: no export wrote it", where=path)
    written = written_files(path / MANIFEST, kind)
    foreign = [
        name
        for name in _files_below(path)
        if name != MANIFEST and written.get(name) != _digest_of(path / name)
    ]
    if foreign:
        more = f" and {len(foreign) - NAMED_FILES} more" if len(foreign) > NAMED_FILES else ""
        raise ArtifactError(
            f"not replaced: no export wrote {', '.join(foreign[:NAMED_FILES])}{more} as it is now; "
            "move it out (MODEL_BOARD_DIR names a folder of your own C)",
            where=path,
        )


def written_files(manifest_file: Path, kind: str = "firmware") -> dict[str, str]:
    """Return the digest of each file that an export wrote, by its path; nothing without a manifest.

    Raises:
        ArtifactError: the manifest is damaged, or is of a version that did not list files.
    """
    if not manifest_file.exists():
        return {}
    content = read_json(manifest_file, kind)
    with parsing(manifest_file):
        return dict(content["files"])


def _files_below(folder: Path) -> Iterator[str]:
    """Yield the paths of all files in a folder, relative to it, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _digest_of(path: Path) -> str | None:
    """Return the digest of a regular file, None for anything else, which no export writes."""
    return file_digest(path) if path.is_file() and not path.is_symlink() else None
