"""What README, CONTRIBUTING, CHANGELOG and docs/ say is true, as far as a machine can tell
cheaply.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import shlex
from functools import cache
from pathlib import Path

import prometheus_client
import pytest
from celery.bin.celery import celery as celery_command
from click import Context, Group

from carina_tasks.cli import COMMANDS, carina
from carina_tasks.cli.output import Command
from carina_tasks.environment import PREFIX
from carina_tasks.observability import metrics
from carina_tasks.settings import FIELDS
from tests.lab import parts
from tools.reference import cli_page, metrics_page, settings_page, tasks_page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.M | re.S)
CODE = re.compile(r"`([^`\n]+)`")


def code_of(text: str) -> list[str]:
    """Return the lines of a page's code blocks (continued lines joined) and its inline code."""
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    return blocks.splitlines() + CODE.findall(FENCE.sub("", text))


CODES = {name: code_of(text) for name, text in TEXTS.items()}


def found(pattern: str, *, code: bool = True) -> set[tuple[str, str]]:
    """Return what `pattern` finds, with the page it stands on. An empty answer is a broken pattern,
    and fails.
    """
    texts = {name: "\n".join(lines) for name, lines in CODES.items()} if code else TEXTS
    hits = {
        (name, match) for name, text in texts.items() for match in re.findall(pattern, text, re.M)
    }
    assert hits, f"nothing in the docs looks like {pattern}"
    return hits


def test_settings_page_is_up_to_date() -> None:
    """docs/settings.md is what the settings say; `python -m tools.reference.settings_page` makes it
    again.
    """
    assert TEXTS["docs/settings.md"] == settings_page.page()


def test_settings_page_has_every_setting() -> None:
    """Every setting has a row, with a unit wherever it is a number, and a description."""
    rows = {
        row.split("`")[1]: row for row in settings_page.page().splitlines() if row.startswith("| `")
    }
    assert rows.keys() == {settings_page.variable(name) for name in FIELDS}
    assert all(row.split(" | ")[-1].strip("| ") for row in rows.values())
    vague = {name for name, row in rows.items() if "whole number" in row}
    assert vague == {PREFIX + "METRICS_PORT"}


def test_tasks_page_is_up_to_date() -> None:
    """docs/tasks.md is what is registered with Celery; `python -m tools.reference.tasks_page` makes
    it again.
    """
    assert TEXTS["docs/tasks.md"] == tasks_page.page()


def test_commands_page_is_up_to_date() -> None:
    """docs/cli.md is what `--help` says; `python -m tools.reference.cli_page` makes it again."""
    assert TEXTS["docs/cli.md"] == cli_page.page()


def test_every_command_has_exit_codes_and_examples() -> None:
    """Scripts can rely on the first, people copy the second; and each example is of that very
    command.
    """
    for name, command in cli_page.commands(Context(carina)):
        if isinstance(command, Group):
            continue
        assert isinstance(command, Command), name
        assert {0, 2} <= command.exits.keys() <= {0, 1, 2}
        assert command.examples
        assert all(
            line.startswith(f"celery -A carina_tasks carina {name}") for line in command.examples
        )


def test_metrics_page_is_up_to_date() -> None:
    """docs/metrics.md is what the processes export; `python -m tools.reference.metrics_page` makes
    it again.
    """
    assert TEXTS["docs/metrics.md"] == metrics_page.page()


def test_make_targets_exist() -> None:
    """Every `make TARGET` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    wrong = {
        (page, name)
        for page, name in found(r"(?:^|[\s`])make ([a-z][\w-]*)")
        if name not in targets
    }
    assert not wrong


def test_celery_commands_exist() -> None:
    """Every `celery -A carina_tasks COMMAND` is one of Celery's, or Flower's, or ours."""
    known = set(celery_command.commands) | {"flower", "carina"}
    wrong = {
        (page, name)
        for page, name in found(r"celery -A carina_tasks ([a-z_]+)")
        if name not in known
    }
    assert not wrong


def test_carina_commands_exist() -> None:
    """Every `celery -A carina_tasks carina COMMAND` is there."""
    wrong = {
        (page, name)
        for page, name in found(r"celery -A carina_tasks carina ([a-z_]+)")
        if name not in COMMANDS
    }
    assert not wrong


def test_tasks_exist() -> None:
    """Every task name `carina.family.name` is registered."""
    names = found(r"\bcarina\.(?!storage\.io|io/)[a-z_]+\.[a-z_]+", code=False)
    wrong = {(page, name) for page, name in names if name not in tasks_page.tasks()}
    assert not wrong


def test_calls_fit_their_tasks() -> None:
    """Every `celery call TASK` has arguments that parse as JSON and that the task takes."""
    calls = found(r"celery -A carina_tasks call (carina\.[^#\n]+)")
    for page, line in calls:
        words = shlex.split(line)
        options = dict(zip(words[1::2], words[2::2], strict=False))
        args, kwargs = (
            json.loads(options.get("--args", "[]")),
            json.loads(options.get("--kwargs", "{}")),
        )
        task = tasks_page.tasks()[words[0]]
        inspect.signature(task.run).bind(*args, **kwargs)
        if isinstance(task, tasks_page.NodeTask):
            assert options.get("--queue", "").startswith("node."), (
                f"{page}: {line} would go to the control queue"
            )


def test_settings_exist() -> None:
    """Every CARINA_TASKS_ variable is a setting."""
    known = {PREFIX + name.upper() for name in FIELDS}
    wrong = {
        (page, name)
        for page, name in found(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]", code=False)
        if name not in known
    }
    assert not wrong


def test_defaults_of_settings_are_right() -> None:
    """Wherever a page has a setting's seconds in brackets behind its name, they are its default."""
    defaults = {f"CARINA_TASKS_{name.upper()}": field.default for name, field in FIELDS.items()}
    told = found(r"`(CARINA_TASKS_[A-Z_]+)` \((\d+) s\)", code=False)
    assert len(told) > 5
    assert not {one for one in told if float(one[1][1]) != defaults[one[1][0]]}


def test_metrics_exist() -> None:
    """Every metric that the docs name is exported."""
    registered = {
        name for names in prometheus_client.REGISTRY._collector_to_names.values() for name in names
    }
    registered |= metrics.GAUGES.keys()
    assert metrics.AUDIT._name in registered
    wrong = {
        (page, name) for page, name in found(r"^carina_tasks_[a-z_]+$") if name not in registered
    }
    assert not wrong


def test_modules_exist() -> None:
    """Every `python -m MODULE` of ours can be imported."""
    wrong = {
        (page, name)
        for page, name in found(r"python3? -m ((?:carina_tasks|workers|tests)[\w.]*)")
        if importlib.util.find_spec(name) is None
    }
    assert not wrong


def test_links_lead_somewhere() -> None:
    """Every relative link is a file, and every #heading in a link is a heading of that page."""
    for page, link in found(r"\]\(([^)\s]+)\)", code=False):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if heading:
            assert heading in headings(target), f"{page}: {link}"


def test_paths_exist() -> None:
    """Every file or folder of the tree that stands in code is there."""
    tops = "carina_tasks|workers|deploy|tests|docs"
    paths = found(rf"(?:^|[\s(\"])((?:{tops})/[\w./-]*\w)")
    # `kubectl exec deploy/NAME`: a Deployment, and no folder of ours.
    wrong = {
        (page, path)
        for page, path in paths
        if not path.startswith("deploy/carina-tasks-") and not (ROOT / path).exists()
    }
    assert not wrong


def test_tests_exist() -> None:
    """Every test that is named is one."""
    names = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
    }
    wrong = {(page, name) for page, name in found(r"^(test_\w+)$") if name not in names}
    assert not wrong


def test_tiers_are_told() -> None:
    """CONTRIBUTING's table has every tier of tests, and no other."""
    assert (
        set(re.findall(r"^\| `tests/(\w+)` \|", TEXTS["CONTRIBUTING.md"], re.M))
        == parts.TIERS.keys()
    )


def test_event_table_is_complete() -> None:
    """The runbooks' table of Events has each reason that the code writes, and no other."""
    written = set()
    product = ROOT / "carina_tasks"
    for path in (*(product / "flows").rglob("*.py"), *(product / "enrolment").rglob("*.py")):
        for code in ast.walk(tree(path)):
            values: list[ast.expr] = []
            if isinstance(code, ast.Call) and ast.unparse(code.func).startswith(
                ("ctx.audit.", "self._audit.")
            ):
                values = code.args
            elif isinstance(code, ast.Assign) and "event" in ast.unparse(code.targets[0]):
                values = code.value.elts if isinstance(code.value, ast.Tuple) else [code.value]
            texts = [
                value.value
                for value in values
                if isinstance(value, ast.Constant) and isinstance(value.value, str)
            ]
            written |= {text for text in texts if re.fullmatch(r"([A-Z][a-z]+){2,}", text)}
    # Guards are told under one reason; which guard it was is in the metric and the log.
    written = written - {"OrphanCap", "Unreadable", "BadAnswer"} | {"CarinaTasksRefused"}
    table = TEXTS["docs/runbooks.md"].split("## Events\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == written


WALK = re.findall(r"^\d+\. `([\w/]+\.py)`: (.*(?:\n   .*)*)", TEXTS["CONTRIBUTING.md"], re.M)


def test_the_walk_has_eight_files_at_most() -> None:
    """CONTRIBUTING's walk from the watch event to lvcreate opens eight files, each once, from the
    watch to lvcreate.
    """
    files = [file for file, _ in WALK]
    assert 2 <= len(set(files)) == len(files) <= 8
    assert files[0] == "carina_tasks/node_watch.py"
    assert '"lvcreate"' in (ROOT / files[-1]).read_text()


@pytest.mark.parametrize(("file", "text"), WALK, ids=[file for file, _ in WALK])
def test_the_walk_can_be_walked(file: str, text: str) -> None:
    """Every function that a step of the walk names is defined in its file, and the next file is
    called from it.
    """
    names = [
        name for name in CODE.findall(text) if re.fullmatch(r"(\w+\.)?_?[a-z]+(_[a-z]+)*", name)
    ]
    here = [name for name in names if name not in {"control", "lvcreate"}]
    assert here
    assert set(here) <= definitions(ROOT / file)
    step = [name for name, _ in WALK].index(file)
    if step + 1 < len(WALK):
        following = WALK[step + 1][0]
        # By import, or by the task's name on a queue.
        named = {
            task.name for task in tasks_page.tasks().values() if tasks_page._file(task) == following
        }
        source = (ROOT / file).read_text()
        parent, module = Path(following).with_suffix("").as_posix().replace("/", ".").rsplit(".", 1)
        adapters = {"carina_tasks/broker/calls.py": "ctx.nodes.ask("}
        imported = rf"from {re.escape(parent)}(\.{module} import |.* import .*\b{module}\b)"
        assert (
            any(f'"{name}"' in source or f"`{name}`" in text for name in named)
            or re.search(imported, source)
            or adapters.get(following, "\0") in source
        ), f"{file} does not lead to {following}"


def test_the_rules_stand_where_the_table_says() -> None:
    """Each row of CONTRIBUTING's table of rules names a function that is defined in the file it
    names.
    """
    rows = re.findall(r"^\| [^|]+ \| `([\w.]+)` in `([\w/.]+)` \|", TEXTS["CONTRIBUTING.md"], re.M)
    assert len(rows) > 15
    wrong = {(name, file) for name, file in rows if name not in definitions(ROOT / file)}
    assert not wrong


@cache
def tree(path: Path) -> ast.Module:
    """Return a source file, parsed."""
    return ast.parse(path.read_text())


def definitions(path: Path) -> set[str]:
    """Return the functions of a file, methods both as `Class.method` and as `method`."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{child.name}"
                for child in node.body
                if isinstance(child, ast.FunctionDef)
            }
    return names


def headings(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
