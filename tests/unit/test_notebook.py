"""The Python shell and the notebook: the commands' values, completed by Tab, and safe to show."""

import rlcompleter

import pytest

from carina_tasks import notebook
from carina_tasks.cli import failed as failed_command
from carina_tasks.decisions.verdict import Verdict
from carina_tasks.flows.report.loss_plan import PlannedVolume, PlanResult
from carina_tasks.flows.report.status import status as flow_status
from carina_tasks.model import progress, well_known
from carina_tasks.store import heartbeat
from carina_tasks.views.results import ResultView
from tests.builders import kubernetes as b
from tests.builders.flow import FakeApi, FakeNodes, context

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def shell(monkeypatch):
    """Have the functions work on fakes. Whoever may edit LogicVolumes wrote markup into one's
    history and into another one's claim.
    """
    past = progress.add_failover("", b.journal(reason=HOSTILE))
    lost = b.logic_volume(on="n9", annotations={well_known.HISTORY: past})
    odd = b.logic_volume("pvc-2", on="n1")
    odd["spec"]["pvc"] = HOSTILE
    api = FakeApi(b.node("n1"), lost, odd, b.pv(on="n9"))
    ctx = context(api, FakeNodes(b.inventory("n1", free=0)))
    for module in (notebook, failed_command):
        monkeypatch.setattr(module, "context", lambda: ctx)
    monkeypatch.setattr(heartbeat, "beating", lambda app: {"n1"})
    monkeypatch.setattr(failed_command.task_results, "recent", lambda app: ((), False))
    return ctx


def test_the_verdict_is_the_one_of_the_command(shell):
    """The same value, not a copy that may differ; it prints as the first line."""
    shown, asked = notebook.status(), flow_status(shell, lambda: {"n1"})
    assert isinstance(shown.verdict, Verdict)
    assert shown.verdict == asked.verdict
    assert repr(shown).splitlines()[0].startswith(f"{asked.verdict.level}: ")
    assert str(shown.verdict) == asked.verdict.line
    for other in (notebook.failed(), notebook.plan("n1")):
        assert repr(other).startswith(f"{other.verdict.level}: ")


@pytest.mark.parametrize(
    "ask",
    [
        notebook.status,
        notebook.failed,
        lambda: notebook.plan("n9"),
        lambda: notebook.history("pvc-1"),
        lambda: ResultView(PlanResult("n1", HOSTILE, (PlannedVolume("v", "no-fit", HOSTILE),))),
    ],
)
def test_what_comes_from_the_cluster_is_text_in_a_notebook(shell, ask):
    """A claim's name, a reason: none of it becomes an element of the page."""
    page = ask()._repr_html_()
    assert page
    assert "<img" not in page


def test_a_hostile_claim_is_shown_escaped(shell):
    """It is there to be read, in the tables and in the verdict's own HTML."""
    assert "&lt;img" in notebook.history("pvc-1")._repr_html_()
    assert "&lt;img" in notebook.failed()._repr_html_()
    verdict = Verdict("DEGRADED", f"the claim {HOSTILE} is unschedulable")
    assert "&lt;img src=x onerror=alert(1)&gt;" in verdict._repr_html_()
    assert "<img" not in verdict._repr_html_()


def test_tab_completes_fields_and_keys(shell):
    """As the plain Python shell asks for them, and as IPython does."""
    shown = {"r": notebook.status(), "p": notebook.plan("n1")}
    complete = rlcompleter.Completer(shown).attr_matches
    assert any(match.startswith("r.verdict") for match in complete("r.ver"))
    assert any(match.startswith("p.volumes") for match in complete("p.vol"))
    assert "nodes" in shown["r"]._ipython_key_completions_()
    assert not [match for match in complete("p.") if match.startswith("p._")]
