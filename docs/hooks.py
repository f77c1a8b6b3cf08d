"""MkDocs: README, CONTRIBUTING and CHANGELOG are pages of the site too.

A folder in the navigation stands for all its pages.

The pages are read on a code host as well, where links are paths of the tree. So the links stay as
they are in the files, and are turned here into those of the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(\[[^]]*\])\(([^)\s#]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder where the navigation names ``folder/*.md``.

    An empty folder has no entry.
    """
    config.nav = _expanded(config.nav or [], Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand at the top of the tree."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the tree into links of the site.

    What is no page of it is named and not linked.
    """
    titles = dict(_titles(config.nav or []))
    here = next(
        (name for name, target in PAGES.items() if target == page.file.src_uri),
        f"docs/{page.file.src_uri}",
    )

    def turned(link: re.Match[str]) -> str:
        text, path, heading = link.group(1), link.group(2), link.group(3) or ""
        if "://" in path:
            return link.group()
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        found = PAGES.get(
            wanted, wanted.removeprefix("docs/") if wanted.startswith("docs/") else ""
        )
        if not found:
            return f"{text[1:-1]}"
        # A file's name is a good name in the tree; in the site it is the page's title.
        text = f"[{titles.get(found, found)}]" if text[1:-1].endswith(".md") else text
        relative = posixpath.relpath(found, posixpath.dirname(page.file.src_uri) or ".")
        return f"{text}({relative}{heading})"

    return LINK.sub(turned, markdown)


def _titles(nav: list[Any]) -> Iterator[tuple[str, str]]:
    for entry in nav:
        if isinstance(entry, dict):
            for title, value in entry.items():
                yield from _titles(value) if isinstance(value, list) else [(value, title)]


def _expanded(nav: list[Any], docs: Path) -> list[Any]:
    entries = []
    for entry in nav:
        (title, value), *_ = entry.items()
        if isinstance(value, list):
            entries.append({title: _expanded(value, docs)})
        elif "*" in value:
            pages = sorted(path.relative_to(docs).as_posix() for path in docs.glob(value))
            entries += [{title: pages}] if pages else []
        else:
            entries.append(entry)
    return entries
