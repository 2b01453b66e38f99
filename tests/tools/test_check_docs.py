"""Figures of documents stand where they say; one from nowhere is found with its line."""

from __future__ import annotations

from pathlib import Path

import check_docs
import pytest

from mcuformer.errors import ArtifactError

PAGE = """\
# Results

## The demo

| device | int8 | bytes |
| --- | ---: | ---: |
| a | 97.88 ± 0.25 | 1,792 |

## Kernels

| a | 2.31 |
"""
LINK = "[seen](docs/results.md#the-demo)"
BOX = "    │ arena │ {} │"


def faults(place: Path, readme: str, quotes: str = "{}") -> list[str]:
    (place / "docs").mkdir()
    (place / "docs" / "results.md").write_text(PAGE)
    (place / "docs" / "figures.yaml").write_text(quotes)
    (place / "README.md").write_text(readme)
    return check_docs.check(place)["faults"]


def test_every_figure_of_the_documents_has_a_source(root: Path) -> None:
    found = check_docs.check(root)
    assert found["faults"] == []
    assert found["figures"] > 30


@pytest.mark.parametrize(
    "text",
    [
        f"It is 97.9 ± 0.3 % right {LINK}.",
        f"It takes 1,792\nbytes {LINK}.",
        f"{LINK}:\n\n| what | bytes |\n|---|---:|\n| arena | 1,792 |",
        f"{LINK}:\n\n{BOX.format('1,792')}",
        "A chip with 320 KB and 1 MB.",  # the STM32F746's regions
        "    takes 12 ms, in code",
        "the flag `12 ms`, in 2 stages of 3 epochs, at [x](docs/12_ms.md), a second time",
    ],
)
def test_a_figure_with_a_source_passes(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        (f"It is 97.8 % right {LINK}.", "97.8 %"),
        (f"It is 97.87 % right {LINK}.", "97.87 %"),
        ("It is 97.9 % right ([all](docs/results.md)).", "97.9 %"),
        ("It is 97.9 % right ([seen](docs/results.md#kernels)).", "97.9 %"),
        (f"{LINK}\n\n\nother\n\nis 97.9 % right", "97.9 %"),
        (f"It takes 1,793\nbytes {LINK}.", "1,793 bytes"),
        ("It takes a minute.", "a minute"),
        ("It is 14 times faster.", "14 times"),
        ("It gains 0.5 points.", "0.5 points"),
        ("It takes 321 KB.", "321 KB"),
        (f"{LINK}:\n\n| what | bytes |\n|---|---:|\n| arena | 1,790 |", "1,790"),
        (f"{LINK}:\n\n{BOX.format('1,790')}", "1,790"),
    ],
)
def test_a_figure_from_nowhere_is_found(tmp_path: Path, text: str, figure: str) -> None:
    (found,) = faults(tmp_path, f"# A head\n\n{text}\n")
    assert found.partition(": ")[2].startswith(repr(figure))
    line = int(found.split(":")[1])
    assert figure.split(maxsplit=1)[0] in f"# A head\n\n{text}".splitlines()[line - 1]


def entry(figure: str, kind: str, source: str) -> str:
    return f"README.md: [{{figure: {figure}, kind: {kind}, source: '{source}'}}]"


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        (entry("64 KiB", "published", "somebody, 2021"), []),
        (entry("64 KiB", "limit", "mcuformer/run/user_file.py:MAX_YAML_BYTES"), []),
        (
            entry("64 KiB", "limit", "mcuformer/run/user_file.py:MAX_JSON_BYTES"),
            ["README.md:1: '64 KiB' is 6.71089e+07 in mcuformer/run/user_file.py:MAX_JSON_BYTES"],
        ),
        (
            entry("65 KiB", "published", "somebody, 2021"),
            [
                "README.md:1: '64 KiB' stands in no section of docs/results.md that is linked"
                " beside it",
                "docs/figures.yaml: README.md has no figure '65 KiB'",
            ],
        ),
    ],
)
def test_a_quote_is_met_and_a_limit_is_the_constant(
    tmp_path: Path, quote: str, expected: list[str]
) -> None:
    assert faults(tmp_path, "At most 64 KiB.", quote) == expected


def test_a_quote_of_no_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"figures\.yaml: unknown entry.*published"):
        faults(tmp_path, "", entry("64 KiB", "believed", "nobody"))


def test_constants_are_read() -> None:
    assert check_docs.constant("oplib/runtime/port/app/protocol.h:PROTOCOL_PAYLOAD_BYTES") == 240
    assert check_docs.constant("mcuformer/run/user_file.py:MAX_JSON_BYTES") == 64 * 2**20
    with pytest.raises(ArtifactError, match=r"protocol\.h: no such constant .*NO_SUCH_NAME"):
        check_docs.constant("oplib/runtime/port/app/protocol.h:NO_SUCH_NAME")


def test_code_blocks_end_where_they_end() -> None:
    text = "one\n    no code\n\n    first\n\n    second \\\n        goes on\ntwo"
    text += "\n```sh\nthird\n```\nthree"
    assert check_docs.document.code_lines(text) == ["first", "", "second goes on", "", "third"]
    assert [line for line in check_docs.document.prose(text).splitlines() if line] == [
        "one",
        "    no code",
        "two",
        "three",
    ]
