"""The documentation as a site: it builds strictly, has every page, and needs nothing from
elsewhere.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(
    r"""(?:src|href)=["']?(?:https?:)?//[^"'> ]+|url\(["']?(?:https?:)?//|@import"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make docs` does, elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_every_page_is_in_it(site):
    """Each file in docs/, and the three pages at the top of the tree."""
    pages = {
        path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
    }
    made = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert made - {"404"} == pages | {"readme", "contributing", "changelog"}


def test_nothing_is_loaded_from_elsewhere(site):
    """No script, style, font or picture of another host: it is read without a network, and no host
    learns who reads it.
    """
    loaded = []
    for path in site.rglob("*"):
        if path.suffix == ".html":
            # Links that the operator follows are no loads.
            loaded += OUTSIDE.findall(
                re.sub(r"<a [^>]*>|<link rel=canonical[^>]*>", "", path.read_text())
            )
        elif path.suffix == ".css":
            loaded += OUTSIDE.findall(path.read_text())
    assert loaded == []


def test_links_of_the_tree_are_links_of_the_site(site):
    """README, CONTRIBUTING and the pages link to each other in both, and no link leads to a source
    file.
    """
    assert 'href="concepts.html"' in (site / "readme.html").read_text()
    assert 'href="readme.html"' in (site / "index.html").read_text()
    wrong = {
        (path.name, link)
        for path in site.rglob("*.html")
        for link in re.findall(r'<a [^>]*href="([^"#]+)', path.read_text())
        if path.name != "404.html" and "://" not in link and not (path.parent / link).exists()
    }
    assert not wrong
