"""Names of a network in C: one prefix, in small letters and in capitals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from oplib.codegen.runtime import runtime_stems

WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t
char32_t class compl concept const consteval constexpr constinit const_cast continue co_await
co_return co_yield decltype default delete do double dynamic_cast else enum explicit export extern
false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr
operator or or_eq private protected public register reinterpret_cast requires restrict return short
signed sizeof static static_assert static_cast struct switch template this thread_local throw true
try typedef typeid typename typeof union unsigned using virtual void volatile wchar_t while xor
xor_eq
"""  # of C and C++
HEADERS = """
assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg
stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar
wctype
"""  # of C's library
TARGETS = """
all clean edit_cache help install list_install_components package package_source rebuild_cache test
oplib network host
"""  # of CMake, its own and ours
RESERVED = frozenset((WORDS + HEADERS + TARGETS).split())


def _refuse_reserved(name: str) -> str:
    if name in RESERVED or name in runtime_stems() or name.startswith("oplib_"):
        raise ValueError(f"{name!r} has a meaning in C, CMake or the firmware; take another name")
    return name


NetworkName = Annotated[
    str,
    Field(pattern=r"^[a-z](_?[a-z0-9])*$", max_length=32),
    AfterValidator(_refuse_reserved),
]
"""A C identifier of small letters, digits and single underscores that nothing else is called."""


@dataclass(frozen=True)
class Names:
    """What everything of a network's C begins with.

    Args:
        prefix: the network's name: prefix of functions, types and files.

    >>> names = Names("digits")
    >>> names.macro("ARENA_BYTES"), names.symbol("run"), names.file("_weights.c")
    ('DIGITS_ARENA_BYTES', 'digits_run', 'digits_weights.c')
    """

    prefix: str = "model"

    def macro(self, name: str) -> str:
        """Return the name of a macro or constant."""
        return f"{self.prefix.upper()}_{name}"

    def symbol(self, name: str) -> str:
        """Return the name of a function or type."""
        return f"{self.prefix}_{name}"

    def file(self, ending: str) -> str:
        """Return the name of a file."""
        return f"{self.prefix}{ending}"

    def fill(self, template: str) -> str:
        """Return a template with ``NAME`` and ``name`` between two ``@`` replaced by the prefix.

        >>> Names("digits").fill("#define @NAME@_H /* @name@_run() */")
        '#define DIGITS_H /* digits_run() */'
        """
        return template.replace("@NAME@", self.prefix.upper()).replace("@name@", self.prefix)
