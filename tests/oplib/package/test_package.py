"""Packages hold what their systems ask for, and build and pass their self-tests as these build."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.errors import ArtifactError, ConfigError
from mcuformer.run.presets import load
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.codegen.component import Component
from oplib.codegen.selftest_c import BuiltInImages
from oplib.export_config import ExportSettings
from oplib.forms import Forms, Passes
from oplib.package.package import PACKAGES, package_files, write_package
from oplib.plan.arena import FastRoom
from oplib.plan.schedule import schedule

Package = Callable[..., Path]
SUBNET = SubnetConfig(
    img_size=8,
    patch_size=4,
    in_chans=1,
    num_classes=3,
    embed_dim=8,
    blocks=(BlockConfig(num_heads=1, head_dim=8, mlp_ratio=1.0),),
)
PREPROCESSING = Preprocessing(img_size=8, channel_order="L", value_max=16, mean=(0.5,), std=(0.5,))
PASSED = ("digits: self-test passed", "other: self-test passed")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]


def run(*command: str | Path) -> str:
    """Return what a program prints."""
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-2000:]
    return result.stdout


@pytest.fixture(scope="module")
def component(random_network: Callable[..., object]) -> Callable[..., Component]:
    """Return a function that makes a network; one called otherwise takes rows and two arenas."""
    strips = Forms(passes=Passes(input="strip"))
    whole = random_network(SUBNET, PREPROCESSING)
    in_strips = random_network(SUBNET, PREPROCESSING, 1, strips)
    two_arenas = schedule(SUBNET, strips, fast=FastRoom(1 << 16, stream=True))

    def component(name: str = "digits", device: str = "stm32f405") -> Component:
        network = whole if name == "digits" else in_strips
        scheduled = whole.scheduled if name == "digits" else two_arenas
        tests = BuiltInImages(network.images[:2], np.array([0, 2]))
        target = load("device", device, Device)
        return Component(network.integer, scheduled, target, ["a", "b", "c"], name, tests=tests)

    return component


@pytest.fixture
def package(component: Callable[..., Component], tmp_path: Path) -> Package:
    """Return a function that writes a package into a folder."""

    def package(kind: str, name: str = "digits", folder: str | None = None) -> Path:
        path = tmp_path / (folder or name)
        write(path, package_files(component(name), kind))
        return path

    return package


def write(path: Path, files: Mapping[str, bytes | str]) -> None:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (path / name).write_bytes(data)


def compile_c(folder: Path, include: Path, *others: Path) -> Path:
    """Compile a folder with one include path and no other setting, as IDEs do."""
    program = folder / "program"
    sources = [*sorted(folder.rglob("*.c")), *others]
    run("cc", "-std=gnu11", "-O0", *WARNINGS, f"-I{include}", *sources, "-o", program)
    return program


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        ExportSettings.parse({"package": "mbed"}, where="export")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("export: package: ")
    assert all(kind in message for kind in ("mbed", *PACKAGES))


def test_a_package_takes_the_place_of_another_but_of_no_users_file(
    component: Callable[..., Component], tmp_path: Path
) -> None:
    write_package(tmp_path, component(), "cube")
    write_package(tmp_path, component(), "arduino")
    assert sorted(path.name for path in (tmp_path / "package").iterdir()) == [
        "arduino",
        "manifest.json",
    ]
    own = tmp_path / "package" / "arduino" / "notes.txt"
    own.write_text("mine")
    for kind in ("zephyr", None):
        with pytest.raises(ArtifactError, match=r"arduino/notes\.txt"):
            write_package(tmp_path, component(), kind)
    assert own.read_text() == "mine"
    own.unlink()
    write_package(tmp_path, component(), None)
    assert list(tmp_path.iterdir()) == []


def test_a_kind_without_an_assembler_path_has_weights_as_text(
    component: Callable[..., Component],
) -> None:
    for kind in ("arduino", "cube"):
        files = package_files(component(), kind)
        assert not [name for name in files if name.endswith((".bin", ".S"))]
        assert not [name for name, content in files.items() if b".incbin" in content]
    assert set(PACKAGES) == {"zephyr", "arduino", "espidf", "cube"}


def test_macros_of_the_core_stand_in_isa_h(component: Callable[..., Component]) -> None:
    places = {
        "zephyr": "oplib/isa.h",
        "arduino": "src/oplib/isa.h",
        "cube": "Inc/oplib/isa.h",
        "espidf": "components/digits/oplib/isa.h",
    }
    for kind, name in places.items():
        on_m4 = package_files(component(), kind)[name]
        on_m7 = package_files(component(device="stm32f746"), kind)[name]
        assert (b"#define OPLIB_CORTEX_M4\n" in on_m4) == (kind != "espidf")
        assert b"#define OPLIB_CORTEX_M4\n" not in on_m7
        assert b"#define OPLIB_FAST_CODE_SECTION" not in on_m7  # its linker script is another's


@pytest.mark.usefixtures("host_tools")
def test_stm32cubeide_compiles_two_networks_without_flags(package: Package, tmp_path: Path) -> None:
    """The code is that of the README's step 3."""
    for name in ("digits", "other"):
        folder = package("cube", name, "mcuformer")
        lines = (folder / "README.md").read_text().splitlines()
        code = "\n".join(line[7:] for line in lines if line.startswith(" " * 7))
        code = code.partition("#include")[2]
        ending = f"int test_{name}(void);\nint test_{name}(void) {{ return (int)test_network(); }}"
        (tmp_path / f"{name}.c").write_text(f"#include{code}\n{ending}\n")
    (tmp_path / "main.c").write_text(
        "int test_digits(void);\nint test_other(void);\n"
        "int main(void) { return test_digits() != 0 || test_other() != 0; }\n"
    )
    mains = [tmp_path / name for name in ("digits.c", "other.c", "main.c")]
    run(compile_c(folder, folder / "Inc", *mains))


@pytest.mark.usefixtures("host_tools")
def test_the_arduino_example_passes(package: Package, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ not found")
    folder = package("arduino")
    sketch = (folder / "examples" / "Selftest" / "Selftest.ino").read_text()
    (tmp_path / "sketch.cpp").write_text(
        "#include <cstdio>\n"
        "struct Port { void begin(long) {} operator bool() { return true; }\n"
        "  void print(const char *text) { std::fputs(text, stdout); }\n"
        "  void println(const char *text) { std::puts(text); }\n"
        '  void println(long value) { std::printf("%ld\\n", value); } } Serial;\n'
        "unsigned long millis() { return 0; }\n"
        f"{sketch}\nint main() {{ setup(); loop(); }}\n"
    )
    compiled, source = tmp_path / "sketch.o", folder / "src"
    run("g++", *WARNINGS, f"-I{source}", "-c", tmp_path / "sketch.cpp", "-o", compiled)
    objects = compile_c(folder, source, compiled, "-lstdc++")
    assert run(objects).strip() == PASSED[0]


def test_manifests_of_arduino_and_platformio(component: Callable[..., Component]) -> None:
    """Fields as of Arduino's library specification 1.5 and PlatformIO's library.json."""
    files = package_files(component(), "arduino")
    lines = files["library.properties"].decode().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    required = "name version author maintainer sentence paragraph category url architectures"
    assert all(properties[name] for name in required.split())
    assert properties["dot_a_linkage"] == "true"  # two networks share operators
    manifest = json.loads(files["library.json"])
    assert manifest["name"] == properties["name"] == "digits"
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert manifest["version"] == properties["version"]
    for example in manifest["examples"]:
        assert all(f"{example['base']}/{name}" in files for name in example["files"])
    assert f"src/{manifest['headers']}" in files
    assert f"src/{properties['includes']}" in files


ZEPHYR = """\
cmake_minimum_required(VERSION 3.16)
project(stub C)
add_library(zephyr_interface INTERFACE)
target_include_directories(zephyr_interface INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/include)
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC)
  target_link_libraries(${name} PUBLIC zephyr_interface)
endmacro()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGV})
endfunction()
foreach(network digits other unused)
  add_subdirectory(${network})
endforeach()
foreach(network digits other)
  add_executable(app_${network} ${network}/samples/selftest/src/main.c)
  target_link_libraries(app_${network} PRIVATE zephyr_interface
                        -Wl,--whole-archive digits other -Wl,--no-whole-archive)
endforeach()
"""


@pytest.mark.usefixtures("host_tools")
def test_two_zephyr_modules_in_one_image(package: Package, tmp_path: Path) -> None:
    """With Zephyr's functions as plain CMake, and as whole libraries, which Zephyr links."""
    for name in ("digits", "other", "unused"):
        folder = package("zephyr", name)
        meta = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
        assert meta["name"] == name
        assert (folder / meta["build"]["cmake"] / "CMakeLists.txt").is_file()
        options = re.findall(r"config (\w+)", (folder / meta["build"]["kconfig"]).read_text())
        used = re.findall(r"CONFIG_(\w+)", (folder / "CMakeLists.txt").read_text())
        assert set(options) == set(used)
        config = (folder / "samples" / "selftest" / "prj.conf").read_text()
        assert config == f"CONFIG_{options[0]}=y\n"
    write(
        tmp_path,
        {
            "CMakeLists.txt": ZEPHYR,
            "include/zephyr/kernel.h": "#include <stdio.h>\n#define printk printf\n",
        },
    )
    on = [f"-DCONFIG_MCUFORMER_{name}=y" for name in ("DIGITS", "OTHER")]
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", *on)
    run("cmake", "--build", tmp_path / "build", "--parallel", "2")
    found = [run(tmp_path / "build" / f"app_{name}").strip() for name in ("digits", "other")]
    assert tuple(found) == PASSED
    isa = tmp_path / "other" / "oplib" / "isa.h"
    source = tmp_path / "other" / "oplib" / "softmax_s8.c"
    source.write_bytes(source.read_bytes() + isa.read_bytes())
    result = subprocess.run(["cmake", str(tmp_path / "build")], capture_output=True, check=False)
    assert b"oplib/softmax_s8.c differs between two networks" in result.stderr


IDF = """\
cmake_minimum_required(VERSION 3.16)
project(stub C)
macro(idf_component_register)
  cmake_parse_arguments(idf "" "" "SRCS;INCLUDE_DIRS;REQUIRES" ${ARGN})
  get_filename_component(COMPONENT_LIB ${CMAKE_CURRENT_LIST_DIR} NAME)
  add_library(${COMPONENT_LIB} STATIC ${idf_SRCS})
  target_include_directories(${COMPONENT_LIB} PUBLIC ${idf_INCLUDE_DIRS})
  target_link_libraries(${COMPONENT_LIB} PUBLIC ${idf_REQUIRES})
endmacro()
add_subdirectory(digits/components/digits)
add_subdirectory(digits/main)
add_executable(app app.c)
target_link_libraries(app PRIVATE main)
"""


@pytest.mark.usefixtures("host_tools")
def test_the_project_of_esp_idf_passes(package: Package, tmp_path: Path) -> None:
    """With idf_component_register() as plain CMake."""
    folder = package("espidf")
    manifest = yaml.safe_load((folder / "components/digits/idf_component.yml").read_text())
    assert set(manifest) == {"version", "description", "dependencies"}
    start = "void app_main(void);\nint main(void) { app_main(); return 0; }\n"
    write(tmp_path, {"CMakeLists.txt": IDF, "app.c": start})
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build")
    run("cmake", "--build", tmp_path / "build", "--parallel", "2")
    assert run(tmp_path / "build" / "app").strip() == PASSED[0]


@pytest.mark.usefixtures("host_tools")
def test_operators_are_portable(package: Package) -> None:
    """ESP32-C3 and its like are RISC-V; no Xtensa compiler is at hand."""
    if shutil.which("clang") is None:
        pytest.skip("clang not found")
    folder = package("espidf") / "components" / "digits"
    flags = ["--target=riscv32-unknown-elf", "-march=rv32imc", "-ffreestanding", "-std=gnu17"]
    sources = sorted(folder.rglob("*.c"))
    run("clang", *flags, "-O1", *WARNINGS, f"-I{folder}", "-fsyntax-only", *sources)
