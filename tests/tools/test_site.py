"""The site is built without a warning, has every document, and loads nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import mcuformer

LOADED = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?:https?:)?//[^\"]*\"")


def test_the_site_is_built_whole_and_needs_no_network(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs not found; `make packages` installs it")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    place = tmp_path / "site"
    build(load_config(str(root / "mkdocs.yml"), strict=True, site_dir=str(place)))
    documents = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    pages = {path.relative_to(root).with_suffix(".html") for path in documents}
    pages = {path if path.stem != "README" else path.with_name("index.html") for path in pages}
    assert all((place / path).is_file() for path in pages)
    loaded = {path: LOADED.findall((place / path).read_text()) for path in pages}
    assert not [line for lines in loaded.values() for line in lines]
    method = (place / "docs" / "method.html").read_text()
    assert 'href="results.html#low-rank-at-equal-flash"' in method
    assert 'id="low-rank-at-equal-flash"' in (place / "docs" / "results.html").read_text()


def test_the_citation_is_of_this_version(root: Path) -> None:
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert (citation["title"], citation["version"]) == ("MCUFormer", mcuformer.__version__)
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "authors"} <= set(citation)
