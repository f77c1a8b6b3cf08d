"""Asks the API server what Carina's own failover can still do."""

from __future__ import annotations

from carina_tasks.decisions.carina_failover import VERBS, CarinaFailover, carina_failover
from carina_tasks.flows.context import Context
from carina_tasks.kube.rights import Right


def judge(ctx: Context) -> dict[str, CarinaFailover]:
    """Return the judgement for each account that runs Carina's controller; empty without one.

    Raises the adapters' errors.
    """
    accounts = ctx.cluster.carinas_controllers()
    policy = ctx.cluster.carinas_policy() if accounts else None
    return {
        account: carina_failover(
            account,
            {
                (what, verb): ctx.cluster.has_right(account, Right("", what, verb))
                for what, verb in VERBS
            },
            policy,
        )
        for account in accounts
    }
