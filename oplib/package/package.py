"""The packages that an export writes on request."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from oplib.codegen.component import Component
from oplib.package.arduino import arduino_files
from oplib.package.cube import cube_files
from oplib.package.espidf import espidf_files
from oplib.package.sources import Sources, core_macros
from oplib.package.zephyr import zephyr_files
from oplib.target.firmware import PACKAGE, refuse_foreign, write_folder

PackageKind = Literal["zephyr", "arduino", "espidf", "cube"]


@dataclass(frozen=True)
class Packaging:
    """How a component becomes a package.

    Args:
        files: makes the package's files.
        is_arm: whether it is compiled for the core of the component's device, or for any other.
        has_assembler_path: whether its build lets the assembler find a file of bytes; otherwise
            weights are C text.
    """

    files: Callable[[Sources], dict[str, bytes]]
    is_arm: bool
    has_assembler_path: bool


PACKAGES: Mapping[PackageKind, Packaging] = {
    "zephyr": Packaging(zephyr_files, is_arm=True, has_assembler_path=True),
    "arduino": Packaging(arduino_files, is_arm=True, has_assembler_path=False),
    "espidf": Packaging(espidf_files, is_arm=False, has_assembler_path=True),
    "cube": Packaging(cube_files, is_arm=True, has_assembler_path=False),
}


def package_files(component: Component, kind: PackageKind) -> dict[str, bytes]:
    """Return the content of each file of a package, by path; equal for equal inputs.

    Args:
        component: the network.
        kind: the system that it is for.
    """
    packaging = PACKAGES[kind]
    if not packaging.has_assembler_path:
        component = replace(component, weights="text")
    macros = core_macros(component) if packaging.is_arm else ()
    return packaging.files(Sources.of(component, macros))


def write_package(folder: Path, component: Component, kind: PackageKind | None) -> None:
    """Write ``package/KIND``, in place of an earlier package, or only remove that.

    Args:
        folder: where ``package`` is created or replaced, whole or not at all.
        component: the network.
        kind: the system that the package is for; None for no package.

    Raises:
        ArtifactError: ``package`` holds files of the user's, or cannot be written.
    """
    path = folder / PACKAGE
    refuse_foreign(path, PACKAGE)
    if kind is not None:
        files = package_files(component, kind)
        content = {f"{kind}/{name}": data for name, data in files.items()}
        write_folder(path, PACKAGE, content, {"kind": kind})
    elif path.exists():
        shutil.rmtree(path)
