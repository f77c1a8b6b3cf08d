"""Flower's templates with pages and parts of our own.

Flower has no option for it. A page of ours is a file in ``web``; a part is put into Flower's
own file, at a place that must be there exactly once: a release of Flower without it ends at start,
and does not lose the part without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tornado.template import Loader, Template

OURS = Path(__file__).parent / "web"

BUTTON = (
    '\n    <button class="task-state-filter" type="button" data-task-state="{}" '
    'aria-pressed="false">{}</button>'
)
"""A button above the list of tasks: the state that it looks for, and what it is called."""

EDITS: Mapping[str, Sequence[tuple[str, str]]] = {
    "base.html": (
        ("  </head>", "    <style>{% include 'carina.css' %}</style>\n  </head>"),
        (
            "    {% block extra_scripts %}",
            "    <script>{% include 'carina.js' %}</script>\n    {% block extra_scripts %}",
        ),
    ),
    "navbar.html": (
        ("<span>Flower</span>", "<span>carina-tasks</span>"),
        (
            '<ul class="app-nav navbar-nav">',
            """<ul class="app-nav navbar-nav">
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'cluster' %} active{% end %}"
            href="{{ reverse_url('cluster') }}"
            {% if active_tab == 'cluster' %}aria-current="page"{% end %}>Cluster</a>
        </li>""",
        ),
    ),
    "workers.html": (
        (
            '<section class="workers-table-card"',
            """<p class="carina-note">A node worker of the profile <em>sealed</em> sends no events
    and is not in this list: <a href="{{ reverse_url('cluster') }}#nodes">Cluster</a> shows
    every node, and whether its worker lives.</p>
  <section class="workers-table-card\"""",
        ),
    ),
    "tasks.html": (
        (">All</button>", ">All but routine</button>"),
        (
            ">Started</button>",
            ">Started</button>"
            + BUTTON.format("PROGRESS", "In progress")
            + BUTTON.format("REFUSED", "Refused")
            + BUTTON.format("NO-FIT", "No node fits")
            + BUTTON.format("UNFINISHED", "Unfinished"),
        ),
        (">Retried</button>", ">Retried</button>" + BUTTON.format("ROUTINE", "Routine")),
    ),
}


class Templates(Loader):
    """Finds a template among ours first, then among Flower's, with `EDITS`."""

    def __init__(self, flowers: str) -> None:
        super().__init__(flowers)
        for name in EDITS:
            self.load(name)

    def _create_template(self, name: str) -> Template:
        own = OURS / name
        if own.is_file():
            return Template(own.read_bytes(), name=name, loader=self)
        text = (Path(self.root) / name).read_text(encoding="utf-8")
        for place, part in EDITS.get(name, ()):
            if text.count(place) != 1:
                raise KeyError(f"Flower's {name} does not have {place!r} exactly once")
            text = text.replace(place, part)
        return Template(text, name=name, loader=self)
