"""The operator's pause, and its end: who, when and why.

Both are in the ConfigMap, which everything that shows a pause reads, and in an Event about it.
"""

from __future__ import annotations

from carina_tasks.decisions import guards
from carina_tasks.flows.context import Context
from carina_tasks.kube.state import OperatorState
from carina_tasks.model import progress


def pause(ctx: Context, reason: str, by: str = "") -> str:
    """Stop everything that changes anything; return the text that `status` shows.

    Args:
        ctx: The outside world.
        reason: Why, for the next operator.
        by: Who the operator is, in their own words.
    """
    who = operator(ctx, by)
    text = f"{reason} (by {who}, at {progress.timestamp(ctx.cluster.now())})"
    about = ctx.state.write(paused=text)
    message = f"carina-tasks is paused by {who}: {reason}"
    ctx.audit.event(about, "Normal", "CarinaTasksPaused", message, key=text, wait=True)
    return text


def resume(ctx: Context, by: str = "") -> tuple[OperatorState, tuple[str, ...]]:
    """End the operator's pause and the stop of the mass-failure guard.

    Args:
        ctx: The outside world.
        by: Who the operator is, in their own words.

    Returns:
        What the state was before, and the lost nodes that are approved by this.
    """
    before, who = ctx.state.read(), operator(ctx, by)
    lost = (
        sorted(guards.lost_nodes(ctx.cluster.observe(), planned=before.maintenance))
        if before.latched
        else []
    )
    was = "; ".join(filter(None, (before.paused, before.latched))) or "nothing was stopped"
    text = f"by {who}, at {progress.timestamp(ctx.cluster.now())}; was: {was}"
    approved = {"approved": ",".join(lost)} if lost else {}
    about = ctx.state.write(paused=None, latched=None, resumed=text, **approved)
    message = f"carina-tasks is resumed by {who}; was: {was}"
    if lost:
        message += f"; approved as lost: {', '.join(lost)}"
    ctx.audit.event(about, "Normal", "CarinaTasksResumed", message, key=text, wait=True)
    return before, tuple(lost)


def approve(ctx: Context, nodes: frozenset[str], by: str = "", *, all_lost: bool) -> None:
    """Let these lost nodes be failed over although the mass-failure guard stops everything.

    Args:
        ctx: The outside world.
        nodes: All nodes that are approved now.
        by: Who the operator is, in their own words.
        all_lost: Whether no other node is lost: then the guard's stop ends.
    """
    names, who = ",".join(sorted(nodes)), operator(ctx, by)
    about = ctx.state.write(approved=names, **({"latched": None} if all_lost else {}))
    message = f"failover of lost nodes is approved by {who}: {names.replace(',', ', ')}"
    ctx.audit.event(about, "Normal", "CarinaTasksResumed", message, key=names, wait=True)


def operator(ctx: Context, by: str) -> str:
    """Return who the operator is: in their own words, and as the API server knows this process."""
    user = ctx.state.user()
    if by.strip():
        return f"{by.strip()[:100]}, as {user}" if user else by.strip()[:100]
    return user or "an unknown user"
