"""A page escapes whatever it shows, asks nothing of the network, and replaces only its like."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from finished_runs import finished_run

from mcuformer.errors import ArtifactError, McuformerError
from mcuformer.report import page
from mcuformer.report.blocks import (
    Bar,
    Bars,
    Code,
    Details,
    Figure,
    Gallery,
    Grid,
    Part,
    Picture,
    Section,
    Table,
    Text,
)
from mcuformer.report.page import refuse_foreign, section, write_page, write_run_page
from mcuformer.report.run_files import NotShown, RunFiles
from mcuformer.run.artifact import RunDir, write_json

BAD = '<img src=x onerror=alert(1)>"&\ud800'
HEAD = {"kicker": BAD, "found": BAD, "tiles": [{"value": BAD, "name": BAD}], "warning": BAD}
BLOCKS = [
    Text(BAD),
    Code(BAD),
    Table((BAD, BAD), [[BAD, BAD]], caption=BAD),
    Bars([Bar(BAD, [Part(1.0, "c0", BAD)], BAD, 50.0)], [("c0", BAD)]),
    Gallery([Picture("data:,", BAD, [BAD], right=False)]),
    Grid([[Figure("<svg></svg>", BAD, [("c1", BAD)])]]),
    Details(BAD, [Text(BAD)]),
]


def test_whatever_is_shown_is_escaped(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", BAD, [Section("key", BAD, BLOCKS)], **HEAD)
    text = (tmp_path / "page.html").read_text()
    assert "<img src=x" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;&#34;&amp;&#55296;") == 27
    assert "<script" not in text
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)|url\(|@import|https?:", text)
    assert "default-src 'none'" in text


def test_a_page_replaces_only_pages(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    refuse_foreign(path)
    path.write_text("my own")
    with pytest.raises(ArtifactError, match="exists, and is no page of mcuformer"):
        refuse_foreign(path)
    write_page(path, "t", [], **HEAD)
    refuse_foreign(path)
    with pytest.raises(ArtifactError):
        refuse_foreign(tmp_path)


def test_a_section_without_its_files_is_one_line(tmp_path: Path) -> None:
    files = RunFiles(finished_run(tmp_path))

    def absent(files: RunFiles) -> list:
        raise NotShown("The stage x has not run.")

    def damaged(files: RunFiles) -> list:
        return files.export["no such part"]

    assert section(files, "k", "t", absent).blocks[0].text == "The stage x has not run."
    assert "damaged: KeyError('no such part')" in section(files, "k", "t", damaged).blocks[0].text


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    content = run.record("report").dump() | {"stage": "evolve.space", "outputs": {}}
    for name in ("oplib.export", "report"):
        run.record_file(name).unlink()
    write_json(run.record_file("evolve.space"), "stage", content)
    write_json(run.file("space.json"), "space", {"point": {"rank_ratio": 0.5, "patch_size": 4}})
    text = write_run_page(run).read_text()
    assert "so far it has run evolve.space; the space search chose rank ratio 0.5" in text
    assert "The stage oplib.export has not run." in text
    assert [key for key, *_ in page.SECTIONS] == re.findall(r'<section id="(\w+)"', text)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such run directory"):
        write_run_page(RunDir(tmp_path / "none"))
    with pytest.raises(ArtifactError, match="not a run directory"):
        write_run_page(RunDir(tmp_path))
    with pytest.raises(McuformerError, match="names no network"):
        write_run_page(finished_run(tmp_path))
    assert not (tmp_path / page.FILE).exists()
