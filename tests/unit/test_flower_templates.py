"""Flower's templates with parts of ours: each part has its place, or Flower does not start."""

import pytest
from flower import urls

from carina_tasks.flower import templates

FLOWERS = urls.settings["template_path"]


@pytest.mark.parametrize("name", [*templates.EDITS, "cluster.html", "broker.html", "task.html"])
def test_every_page_compiles(name):
    """Flower's own, those with parts of ours, and ours."""
    assert templates.Templates(FLOWERS).load(name)


def test_a_release_of_flower_without_the_place_ends_at_start(monkeypatch):
    """The part is not lost without a word."""
    edits = {"navbar.html": [("no such place", "")]}
    monkeypatch.setattr(templates, "EDITS", edits)
    with pytest.raises(KeyError, match=r"Flower's navbar\.html does not have"):
        templates.Templates(FLOWERS)
