"""A hook of MkDocs: the site has the layout of the repository, so that every link holds in both.

Pages are the documents at the top and in docs/. Other files belong to the site if a page links to
them. Anchors are made as GitHub makes them.
"""

from __future__ import annotations

import os
from pathlib import Path

import document
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Have headings get GitHub's anchors."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = lambda text, _: document.anchor(text)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files below docs_dir by the repository's documents and what they link to."""
    paths = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    linked = {target for page in paths for target in _linked(page)}
    site = Files([file for file in files if file.src_dir != config.docs_dir])  # the theme's
    styles = [ROOT / str(path) for path in config.extra_css]
    for path in [*paths, *styles, *sorted(linked - set(paths))]:
        name = path.relative_to(ROOT).as_posix()
        site.append(File.generated(config, name, abs_src_path=str(path)))
    return site


def _linked(page: Path) -> list[Path]:
    """Return the files of the repository to which a page links."""
    names = (target.partition("#")[0] for target in document.links(page.read_text()))
    paths = (Path(os.path.normpath(page.parent / name)) for name in names if "://" not in name)
    return [path for path in paths if path.is_file() and path.is_relative_to(ROOT)]
