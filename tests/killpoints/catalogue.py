"""Every scenario with what is tried at its points; none named: every way to die there."""

from collections.abc import Callable, Sequence

from tests.killpoints import scenarios
from tests.killpoints.scenarios import Scenario

CATALOGUE: dict[str, tuple[Callable[[], Scenario], Sequence[str]]] = {
    "rebuild": (scenarios.rebuild, ()),
    "migrate": (scenarios.migrate, ()),
    "sweep_local": (scenarios.sweep_local, ()),
    "sweep_logic": (scenarios.sweep_logic, ()),
    "manually": (scenarios.by_hand, ()),
    "failback": (scenarios.failback, ()),
    "another worker at a failback": (scenarios.failback, ("raced",)),
    "a sweep during a failback": (scenarios.failback, ("swept",)),
    "undo": (scenarios.undo, ()),
    "a sweep while undoing": (scenarios.undo, ("swept",)),
    "resume": (scenarios.resumed, ()),
    "replan": (scenarios.replanned, ()),
    "target dies anywhere": (scenarios.target_dies, ("target-gone",)),
    "the node returns anywhere": (scenarios.returns, ("source-back",)),
    "frozen": (scenarios.frozen, ()),
    "denied anywhere": (scenarios.denied, ("denied",)),
    "another worker": (scenarios.rebuild, ("raced",)),
    "a sweep in between": (scenarios.rebuild, ("swept",)),
    "another sweep": (scenarios.sweep_local, ("raced",)),
    "FLUSHALL": (scenarios.rebuild, ("flushed",)),
}
