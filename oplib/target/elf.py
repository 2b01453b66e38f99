"""Read a linked program of a 32-bit Arm core: its sections, its symbols and its bytes.

Source: Tool Interface Standard, "Executable and Linking Format", version 1.2, part 1; "ELF for the
Arm Architecture" (Arm IHI 0044), section 5.5, for the symbols.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from mcuformer.errors import ArtifactError, FirmwareError

SymbolKind = Literal["label", "object", "function"]

MAGIC = b"\x7fELF\x01\x01"  # 32 bits, little-endian
MACHINE_ARM = 40
HEADER = struct.Struct("<16xHHIIIIIHHHHHH")
SECTION = struct.Struct("<IIIIIIIIII")
SYMBOL = struct.Struct("<IIIBBH")
SYMBOL_TABLE, WITHOUT_BYTES = 2, 8  # types of sections
TAKES_MEMORY = 2  # flag of a section
KINDS: dict[int, SymbolKind] = {0: "label", 1: "object", 2: "function"}
SOURCE_FILE = 4  # kind of a symbol: the local symbols behind it are of this source file


@dataclass(frozen=True)
class Section:
    """A section that takes memory of the device.

    Args:
        name: its name.
        address: address of its first byte.
        size: bytes.
        stored: whether the file has its bytes, so that they are flashed.
        data: these bytes; empty if they are not stored.
    """

    name: str
    address: int
    size: int
    stored: bool
    data: bytes

    @property
    def end(self) -> int:
        """Address of the first byte behind it."""
        return self.address + self.size


@dataclass(frozen=True)
class Symbol:
    """A named place of the program.

    Args:
        name: its name.
        address: address of its first byte, without the bit that marks Thumb code.
        size: bytes; 0 if the compiler did not tell.
        kind: what it names.
        source: name of the source file, of a local symbol only.
        section: name of its section.
    """

    name: str
    address: int
    size: int
    kind: SymbolKind
    source: str
    section: str

    @property
    def end(self) -> int:
        """Address of the first byte behind it."""
        return self.address + self.size


@dataclass(frozen=True)
class Elf:
    """A linked program.

    Args:
        path: its file.
        sections: those that take memory of the device, by address.
        symbols: what is named in them, by address.
    """

    path: Path
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    @classmethod
    def read(cls, path: Path) -> Elf:
        """Read a file.

        Raises:
            ArtifactError: it cannot be read.
            FirmwareError: it is no program of a 32-bit Arm core, or it is damaged.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot be read: {error.strerror}", where=path) from error
        if not data.startswith(MAGIC):
            raise FirmwareError("not a program of a 32-bit Arm core", where=path)
        try:
            return _parse(path, data)
        except (struct.error, IndexError, ValueError) as error:
            raise FirmwareError("damaged ELF file", where=path) from error

    @cached_property
    def functions(self) -> dict[str, Symbol]:
        """Functions by name."""
        return {symbol.name: symbol for symbol in self.symbols if symbol.kind == "function"}

    def section(self, name: str) -> Section:
        """Return the section called `name`, an empty one if there is none."""
        empty = Section(name, 0, 0, stored=False, data=b"")
        return next((section for section in self.sections if section.name == name), empty)

    def symbol(self, name: str) -> Symbol | None:
        """Return the first symbol called `name`, None if there is none."""
        return next((symbol for symbol in self.symbols if symbol.name == name), None)

    def words(self, begin: int, end: int) -> dict[int, int]:
        """Return the aligned 32-bit words that are stored between two addresses, by address."""
        found: dict[int, int] = {}
        for section in self.sections:
            first = max(-(-begin // 4) * 4, -(-section.address // 4) * 4)
            last = min(end, section.address + len(section.data))
            if last - first >= 4:
                count, offset = (last - first) // 4, first - section.address
                values = struct.unpack_from(f"<{count}I", section.data, offset)
                found |= {first + 4 * index: value for index, value in enumerate(values)}
        return found


def _parse(path: Path, data: bytes) -> Elf:
    """Return the parts of an ELF file.

    Raises:
        FirmwareError: it is of another machine.
        struct.error, IndexError, ValueError: it is damaged.
    """
    header = HEADER.unpack_from(data)
    if header[1] != MACHINE_ARM:
        raise FirmwareError("not a program of a 32-bit Arm core", where=path)
    offset, size, count, names = header[5], header[10], header[11], header[12]
    headers = [SECTION.unpack_from(data, offset + size * index) for index in range(count)]
    texts = [_bytes(data, *head[4:6]) if head[1] != WITHOUT_BYTES else b"" for head in headers]
    titles = [_text(texts[names], head[0]) for head in headers]
    sections = tuple(
        Section(title, head[3], head[5], head[1] != WITHOUT_BYTES, content)
        for title, head, content in zip(titles, headers, texts, strict=True)
        if head[2] & TAKES_MEMORY and head[5] > 0
    )
    symbols = []
    for head, content in zip(headers, texts, strict=True):
        if head[1] == SYMBOL_TABLE:
            inside = {
                index: titles[index] for index, h in enumerate(headers) if h[2] & TAKES_MEMORY
            }
            symbols = _symbols(content, texts[head[6]], inside)
    return Elf(
        path,
        tuple(sorted(sections, key=lambda section: section.address)),
        tuple(sorted(symbols, key=lambda symbol: (symbol.address, symbol.end))),
    )


def _symbols(table: bytes, texts: bytes, sections: dict[int, str]) -> list[Symbol]:
    """Return the symbols of a table that lie in one of these sections, by index."""
    symbols, source = [], ""
    for name, value, size, info, _, index in SYMBOL.iter_unpack(table):
        binding, kind, text = info >> 4, info & 15, _text(texts, name)
        if kind == SOURCE_FILE:
            source = text
        elif index in sections and kind in KINDS and not text.startswith("$"):  # $t: mapping
            address = value & ~1 if KINDS[kind] == "function" else value
            own = "" if binding else source
            symbols.append(Symbol(text, address, size, KINDS[kind], own, sections[index]))
    return symbols


def _bytes(data: bytes, offset: int, size: int) -> bytes:
    """Return a part of the file.

    Raises:
        IndexError: the file ends before it does.
    """
    if offset + size > len(data):
        raise IndexError
    return data[offset : offset + size]


def _text(texts: bytes, offset: int) -> str:
    """Return the text at an offset of a table of texts, up to the byte 0."""
    return texts[offset : texts.index(0, offset)].decode("utf-8", "replace")
