"""Where the flash and the SRAM of a linked program go: by symbol, by layer, by kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcuformer.limits import ByteCount
from mcuformer.value import Value
from oplib.codegen.names import Names
from oplib.codegen.weights_c import c_name
from oplib.target.elf import Elf, Section, Symbol

OPERATOR = "oplib_"
PROGRAM = ("port_", "semihosting_", "board_", "main")  # functions of port/ and of a board
SECTIONS = {  # whose bytes are of one kind, whatever is called what in them
    ".weights": "weights",
    ".test_images": "test images",
    ".vectors": "vectors",
    ".arena": "arena",
    ".fast_arena": "fast arena",
    ".stack": "stack",
    ".data": "static data",
    ".bss": "static data",
}
PADDING = "padding"


class SymbolSize(Value):
    """Bytes of one symbol.

    Args:
        name: its name.
        section: section that holds it.
        kind: what it is: of flash ``weights``, ``parameters``, ``calls`` (the network's own
            functions), ``operators``, ``test images``, ``program`` (of port and board),
            ``library`` (of C and of the compiler), ``vectors`` or ``padding``; of SRAM ``arena``,
            ``fast arena``, ``static data`` or ``stack``.
        size_bytes: its bytes.
    """

    name: str
    section: str
    kind: str
    size_bytes: ByteCount


class LayerSize(Value):
    """Bytes of flash of one call of the network.

    Args:
        name: name of the call.
        weights_bytes: its weights, tables and requantisation constants.
        parameters_bytes: its parameter structs.
    """

    name: str
    weights_bytes: ByteCount
    parameters_bytes: ByteCount


class ProgramSizes(Value):
    """Sizes of a linked program, whose parts add up to the sums.

    Args:
        flash_bytes: all that is flashed, initial values of data included.
        sram_bytes: arenas, static data and the stack as reserved.
        flash: bytes of flash by kind.
        sram: bytes of SRAM by kind.
        layers: bytes of each call of the network, in the order of execution.
        symbols: all symbols, the largest first.
    """

    flash_bytes: ByteCount
    sram_bytes: ByteCount
    flash: dict[str, ByteCount]
    sram: dict[str, ByteCount]
    layers: tuple[LayerSize, ...]
    symbols: tuple[SymbolSize, ...]


@dataclass(frozen=True)
class Layer:
    """A call of the network, as the manifest of an export tells it.

    Args:
        name: its name.
        weights_bytes: its constants.
        parts: names of the nodes that it computes.
    """

    name: str
    weights_bytes: int
    parts: Sequence[str]

    @property
    def structs(self) -> set[str]:
        """Names of its parameter structs."""
        return {c_name(node) for node in (self.name, *self.parts)}


def program_sizes(
    elf: Elf, names: Names, layers: Sequence[Layer], sources: set[str]
) -> ProgramSizes:
    """Return where the bytes of a program go.

    Args:
        elf: the program.
        names: names of its network.
        layers: calls of the network.
        sources: names of the C files of port and board.
    """
    kinds = _Kinds(elf, names, layers, sources)
    symbols = [size for section in elf.sections for size in _pieces(elf, section, kinds)]
    flashed = {section.name for section in elf.sections if section.stored}
    used = {section.name for section in elf.sections if not section.stored} | {".data"}
    parameters = {
        symbol.name.partition(".")[0]: symbol.size
        for symbol in elf.symbols
        if kinds.of(symbol) == "parameters"
    }
    return ProgramSizes(
        flash_bytes=sum(size.size_bytes for size in symbols if size.section in flashed),
        sram_bytes=sum(size.size_bytes for size in symbols if size.section in used),
        flash=_by_kind(symbols, flashed),
        sram=_by_kind(symbols, used),
        layers=tuple(
            LayerSize(
                name=layer.name,
                weights_bytes=layer.weights_bytes,
                parameters_bytes=sum(parameters.get(struct, 0) for struct in layer.structs),
            )
            for layer in layers
        ),
        symbols=tuple(sorted(symbols, key=lambda size: (-size.size_bytes, size.name))),
    )


def _by_kind(symbols: Sequence[SymbolSize], sections: set[str]) -> dict[str, int]:
    """Return the bytes of each kind in some sections, the most first."""
    totals: dict[str, int] = {}
    for symbol in symbols:
        if symbol.section in sections:
            totals[symbol.kind] = totals.get(symbol.kind, 0) + symbol.size_bytes
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


class _Kinds:
    """What the symbols of a program are."""

    def __init__(self, elf: Elf, names: Names, layers: Sequence[Layer], sources: set[str]) -> None:
        self._own = {names.file(".c"), names.file("_test.c")}
        self._prefix = names.symbol("")
        self._structs = set().union(*(layer.structs for layer in layers))
        self._program = sources
        operators = {name for name in elf.functions if name.startswith(OPERATOR)}
        self._operators = {f"{name.removeprefix(OPERATOR)}.c" for name in operators}

    def of(self, symbol: Symbol) -> str:
        """Return the kind of a symbol, as :class:`SymbolSize` lists them."""
        name, source = symbol.name, symbol.source
        if symbol.section in SECTIONS:
            return SECTIONS[symbol.section]
        if source in self._own:
            return "parameters" if name.partition(".")[0] in self._structs else "calls"
        if name.startswith(self._prefix):
            return "calls"
        if name.startswith(OPERATOR) or source in self._operators:
            return "operators"
        return "program" if source in self._program or name.startswith(PROGRAM) else "library"


def _pieces(elf: Elf, section: Section, kinds: _Kinds) -> Iterator[SymbolSize]:
    """Yield what a section holds, from its first byte to its last."""
    symbols = [symbol for symbol in elf.symbols if symbol.section == section.name]
    at = section.address
    for symbol, end in zip(symbols, _ends(symbols, section), strict=True):
        if symbol.address > at:
            yield _nameless(section, symbol.address - at)
        begin = max(at, symbol.address)
        if end > begin:
            yield SymbolSize(
                name=symbol.name,
                section=section.name,
                kind=kinds.of(symbol),
                size_bytes=end - begin,
            )
        at = max(begin, end)
    if section.end > at:
        yield _nameless(section, section.end - at)


def _ends(symbols: Sequence[Symbol], section: Section) -> list[int]:
    """Return the end of each symbol; assembly without a size ends where the next one begins."""
    following = [symbol.address for symbol in symbols[1:]] + [section.end]
    return [
        after if symbol.kind == "function" and symbol.size == 0 else symbol.end
        for symbol, after in zip(symbols, following, strict=False)
    ]


def _nameless(section: Section, size: int) -> SymbolSize:
    """Return bytes that no symbol names: alignment, the stack, constants of functions."""
    kind = SECTIONS.get(section.name, PADDING)
    return SymbolSize(name=f"({kind})", section=section.name, kind=kind, size_bytes=size)
