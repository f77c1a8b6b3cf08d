"""Access reviews: may I, and may another client?"""

import pytest

from tests.contract.server import Server

pytestmark = pytest.mark.contract

REVIEWS = "/apis/authorization.k8s.io/v1"
RIGHT = {"resource": "pods", "verb": "delete"}


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("SelfSubjectAccessReview", {}),
        ("SubjectAccessReview", {"user": "admin", "groups": ["system:masters"]}),
    ],
)
def test_an_administrator_may(cluster: Server, kind: str, who: dict[str, object]) -> None:
    """The answer is the review itself, with `status.allowed`."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": kind,
        "spec": {"resourceAttributes": RIGHT, **who},
    }
    answer = cluster.http("POST", f"{REVIEWS}/{kind.lower()}s", body)
    assert answer.code == 201, answer.body
    assert answer.body["kind"] == kind
    assert answer.body["status"]["allowed"] is True


def test_a_review_without_a_spec_is_refused(cluster: Server) -> None:
    """An empty review is not allowed."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    assert cluster.http("POST", f"{REVIEWS}/selfsubjectaccessreviews", body).code >= 400
