"""Write a firmware folder: the runtime unchanged, the generated C and the linker scripts.

Its ``manifest.json`` describes the network and lists every file with its digest. A folder that
holds anything else, or a file that was edited, is never replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mcuformer.device import Device
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import digest, file_digest, parsing, read_json, write_json
from mcuformer.run.folder import replacing_directory
from oplib.codegen.model_c import emit, manifest
from oplib.codegen.weights_c import WeightsForm
from oplib.network.reference import IntegerModel
from oplib.plan.check_plan import check_plan
from oplib.plan.schedule import Schedule
from oplib.target.board import TARGET_SETTINGS, target_settings
from oplib.target.linker import board_header, emulated_machine, is_emulated, linker_script

RUNTIME = Path(__file__).resolve().parents[1] / "runtime"
MANIFEST = "manifest.json"
NAMED_FILES = 3  # at most, in a message


def write_firmware(
    path: Path,
    model: IntegerModel,
    scheduled: Schedule,
    device: Device,
    class_names: Sequence[str],
    weights: WeightsForm = "binary",
) -> None:
    """Write the firmware folder, whole or not at all; equal inputs give equal bytes.

    Args:
        path: folder to create or replace.
        model: integer network.
        scheduled: calls of the network and their memory plan.
        device: device to link for.
        class_names: name of each logit's class.
        weights: form of the weights' file.

    Raises:
        ArtifactError: `path` holds files of the user's, or cannot be written.
        PlanError: the plan breaks a rule; nothing is written.
    """
    check_plan(scheduled.calls, scheduled.plan)
    own_regions = {name: device.region(name) for name in device.used_regions}
    texts = {
        TARGET_SETTINGS: target_settings(device),
        "device.ld": linker_script(device, own_regions),
        "device/board.h": board_header(None),
    }
    if is_emulated(device):
        machine = emulated_machine(device)
        texts["emulated.ld"] = linker_script(device, machine.regions)
        texts["emulated/board.h"] = board_header(machine)
    files = {name: (RUNTIME / name).read_bytes() for name in _files_below(RUNTIME)}
    files |= emit(model, scheduled, device, class_names, weights)
    files |= {name: text.encode() for name, text in texts.items()}
    digests = {name: digest(data) for name, data in sorted(files.items())}
    content = {**manifest(model, scheduled, device, class_names), "files": digests}
    refuse_foreign_files(path)
    with replacing_directory(path) as temporary:
        for name, data in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(data)
        write_json(temporary / MANIFEST, "firmware", content)


def refuse_foreign_files(path: Path) -> None:
    """Refuse a firmware folder that holds anything that no export wrote, or that was edited.

    Raises:
        ArtifactError: naming the first such files.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ArtifactError("not replaced: no export wrote it", where=path)
    written = written_files(path / MANIFEST)
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


def written_files(manifest_file: Path) -> dict[str, str]:
    """Return the digest of each file that an export wrote, by its path; nothing without a manifest.

    Raises:
        ArtifactError: the manifest is damaged, or is of a version that did not list files.
    """
    if not manifest_file.exists():
        return {}
    content = read_json(manifest_file, "firmware")
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
