"""Can Carina's own failover act? What RBAC says, and what the admission policy denies."""

import copy
from pathlib import Path

import pytest
import yaml

from carina_tasks.decisions.carina_failover import (
    VERBS,
    FailoverOff,
    FailoverOn,
    FailoverUnknown,
    carina_failover,
)
from carina_tasks.errors import ApiDenied, ApiUnavailable, NotFound
from carina_tasks.kube import admission, paths

ACCOUNT = "system:serviceaccount:kube-system:carina-csi-controller"
POLICY, BINDING = yaml.safe_load_all(
    (Path(__file__).parents[2] / "deploy" / "admission" / "policy.yaml").read_text()
)


class Api:
    """An API server with the policy and its binding, or without."""

    def __init__(self, policy=POLICY, binding=BINDING, served=True):
        kinds = {"resources": [{"name": "validatingadmissionpolicies"}]} if served else {}
        self.found = {
            paths.ADMISSION: kinds if served is not None else ApiUnavailable("no such group"),
            paths.ADMISSION_POLICY: policy if served else ApiUnavailable("not this kind"),
            paths.ADMISSION_BINDING: binding,
        }

    def get(self, path):
        """Return the object, or raise the error that stands in its place."""
        found = self.found[path]
        if isinstance(found, Exception):
            raise found
        return found


def judge(api, allowed=True, account=ACCOUNT):
    """Return the judgement when RBAC answers `allowed` for each verb."""
    return carina_failover(account, dict.fromkeys(VERBS, allowed), admission.policy(api))


def changed(raw, *path, to):
    """Return an object with one value changed (path: keys and indexes)."""
    found = copy.deepcopy(raw)
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return found


def test_the_policy_of_deploy_denies_it():
    """Whatever RBAC grants, and whether or not that can be asked."""
    for allowed in (True, False, None):
        assert isinstance(judge(Api(), allowed), FailoverOff)


def test_the_server_writes_its_defaults_into_it():
    """Empty selectors and scopes, which the API server adds, narrow nothing."""
    policy = changed(POLICY, "spec", "matchConstraints", "namespaceSelector", to={})
    policy["spec"]["matchConstraints"] |= {"objectSelector": {}, "matchPolicy": "Equivalent"}
    for rule in policy["spec"]["matchConstraints"]["resourceRules"]:
        rule["scope"] = "*"
    assert isinstance(judge(Api(policy)), FailoverOff)


SPEC = ("spec", "matchConstraints")


@pytest.mark.parametrize(
    ("api", "why"),
    [
        (Api(policy=NotFound("404")), "no admission policy"),
        (Api(policy=ApiDenied("403")), "no admission policy"),
        (Api(served=False), "no admission policy"),
        (Api(served=None), "no admission policy"),
        (Api(binding=NotFound("404")), "no binding"),
        (Api(binding=ApiDenied("403")), "no binding"),
        (
            Api(binding=changed(BINDING, "spec", "validationActions", to=["Warn", "Audit"])),
            "no bin",
        ),
        (Api(binding=changed(BINDING, "spec", "policyName", to="another")), "no binding"),
        (
            Api(
                binding=changed(
                    BINDING, "spec", "matchResources", to={"namespaceSelector": {"matchLabels": {}}}
                )
            ),
            "no binding",
        ),
        (
            Api(binding=changed(BINDING, "spec", "matchResources", to={"resourceRules": [{}]})),
            "no binding",
        ),
        (Api(changed(POLICY, "spec", "validations", 0, "expression", to="true")), "does not deny"),
        (Api(changed(POLICY, "spec", "failurePolicy", to="Ignore")), "does not deny"),
        (Api(changed(POLICY, "spec", "paramKind", to={"kind": "ConfigMap"})), "does not deny"),
        (Api(changed(POLICY, *SPEC, "objectSelector", to={"matchLabels": {"a": "b"}})), "does not"),
        (Api(changed(POLICY, *SPEC, "excludeResourceRules", to=[{}])), "does not deny"),
        (Api(changed(POLICY, *SPEC, "resourceRules", 0, "resourceNames", to=["x"])), "delete pods"),
        (Api(changed(POLICY, *SPEC, "resourceRules", 0, "scope", to="Cluster")), "delete pods"),
        (
            Api(changed(POLICY, *SPEC, "resourceRules", 2, "operations", to=["DELETE"])),
            "create per",
        ),
        (Api(changed(POLICY, *SPEC, "resourceRules", 2, "apiGroups", to=["apps"])), "delete per"),
        (Api(changed(POLICY, "spec", "matchConditions", to=[])), "nobody that can be read"),
        (
            Api(
                changed(
                    POLICY,
                    "spec",
                    "matchConditions",
                    0,
                    "expression",
                    to=f'request.userInfo.username == "{ACCOUNT}" && false',
                )
            ),
            "nobody that can be read",
        ),
        (Api({"spec": None}), "nobody that can be read"),
    ],
)
def test_a_policy_that_denies_less_counts_for_nothing(api, why):
    """Absent, not bound, only warning, or narrowed: Carina's failover is active, and it says
    why.
    """
    found = judge(api)
    assert isinstance(found, FailoverOn)
    assert why in found.reason
    assert isinstance(judge(api, allowed=None), FailoverUnknown)
    # The older recipe, without any policy.
    assert isinstance(judge(api, allowed=False), FailoverOff)


def test_it_is_for_one_account():
    """A policy for kube-system does not stop a Carina in another namespace."""
    found = judge(Api(), account="system:serviceaccount:carina:other")
    assert isinstance(found, FailoverOn)
    assert ACCOUNT in found.reason
