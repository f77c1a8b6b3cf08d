"""The error tree.

One root. Below it three answers to the only question a caller has: *transient* (try again later),
*permanent* (trying again changes nothing), *refused* (a guard refused, and the operator may
overrule it). Exceptions of libraries are translated in the adapters and never travel further. The
docstring of an error is its message when none is given.
"""

from __future__ import annotations

import inspect
from typing import Any


class CarinaTasksError(Exception):
    """Something in carina-tasks failed."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        # One line, because logs, results and Events show it as one.
        default = " ".join((inspect.getdoc(type(self)) or type(self).__name__).split())
        self.message = message or default
        self.facts = facts
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Celery pickles and rebuilds exceptions from their arguments.

        Keep that working with keyword facts.
        """
        return (type(self), (self.message,), {"facts": self.facts})


# --- transient: try again later


class TransientError(CarinaTasksError):
    """It failed now and may work later."""


class ApiUnavailable(TransientError):
    """The Kubernetes API server did not answer."""


class ApiConflict(TransientError):
    """The object changed since it was read; read it again and decide again."""


class AlreadyExists(ApiConflict):
    """An object of that name is already there."""


class ApiGone(TransientError):
    """The API server no longer has that resourceVersion; list again."""


class BrokerUnavailable(TransientError):
    """The broker did not answer."""


class EnrolmentUnavailable(TransientError):
    """The enrolment service did not answer."""


class NodeSilent(TransientError):
    """The node's worker did not answer before the deadline."""


class LvmTimeout(TransientError):
    """The lvm command did not end before its deadline and was ended."""


class LvmBusy(TransientError):
    """Another process holds the volume or its lock."""


class LostMidway(TransientError):
    """The rebuild is under way but not finished; resume continues it."""


# --- permanent: trying again changes nothing


class PermanentError(CarinaTasksError):
    """It failed, and will fail again until the operator has removed its cause."""


class BadInput(PermanentError):
    """An argument is not what the task takes."""


class BadObject(PermanentError):
    """An object in the cluster lacks a field or has a wrong one."""


class BadAnswer(PermanentError):
    """A node answered with something that is not an answer."""


class BadSetting(PermanentError):
    """A setting is missing or wrong."""


class EnrolmentRefused(PermanentError):
    """The enrolment service does not give this node access to Redis."""


class ApiDenied(PermanentError):
    """The API server refused the credentials or the verb.

    See deploy/rbac.yaml for what is needed.
    """


class ApiUnauthorized(ApiDenied):
    """The API server does not know the credentials.

    That concerns every request, and not one object.
    """


class ApiInvalid(PermanentError):
    """The API server refused the object as invalid."""


class DryRunUnsupported(ApiInvalid):
    """An admission webhook with side effects takes no dry run.

    Only the real request can show what it would say.
    """


class NotFound(PermanentError):
    """The API server answered 404: the object does not exist."""


class LvmFailed(PermanentError):
    """The lvm command failed."""


class LvmNotFound(LvmFailed):
    """There is no such volume or volume group."""


class LvmNoSpace(LvmFailed):
    """The volume group has not enough free space."""


class LvmMetadataFull(LvmFailed):
    """The metadata area of the volume group is full."""


class LvmReportUnreadable(LvmFailed):
    """lvm answered with something that is not a JSON report."""


class NodeFailed(PermanentError):
    """The node's worker ran the task and it failed."""


# --- refused by a guard


class Refused(CarinaTasksError):
    """A guard refused; nothing was changed."""


class RebuildUnderWay(Refused):
    """A rebuild is under way, and without carina-tasks it would never end."""


class Paused(Refused):
    """carina-tasks is paused; nothing is changed until the operator resumes it."""


class MassFailure(Refused):
    """Too many nodes failed at once.

    Nothing is changed while that lasts, and after a while not until the operator resumes it.
    """
