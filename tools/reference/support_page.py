"""The support table: ``python -m tools.reference.support_page > docs/support.md``.

Made from the recorded run of the matrix, tests/matrix/results.json; a test compares. What that run
did not pass is not called supported.
"""

from __future__ import annotations

import sys
from typing import Final

from tests.matrix import results
from tests.matrix.results import Results, Row

HEAD: Final = """\
# Supported versions

Made by `python -m tools.reference.support_page > docs/support.md`; do not edit manually.

Each row is a run of tests beside that version (`make matrix`), and the version is what the program
itself reported. **Tested** means that every test of the row passed. **Not tested** means that the
run had no such version, or did not look at it: it may well work.
"""

WHAT: Final = {
    "Kubernetes": (
        "etcd, API server, controllers and scheduler of that release: the contract tests, which "
        "ask it and the emulator the same questions, then rebuilds, migrations, rights and "
        "placement beside its scheduler, on nodes with real lvm2. Skipped are questions about what "
        "only a newer server answers, none of which carina-tasks asks. Needed is 1.27 or newer; "
        "what is older than the oldest row below was never run."
    ),
    "Redis": (
        "Users, TLS, Sentinel, enrolment, a flooding node, and rebuilds through that server."
    ),
    "Valkey": (
        "The same tests with Valkey in place of Redis. The chart's own broker is Valkey 8. "
        "Valkey 9 is the build that the demo's package ships, which has no TLS: TLS is not tested "
        "with it."
    ),
    "Python": (
        "Unit tests, and the processes on the embedded default. The images have Python 3.11. "
        "Python 3.13 and newer refuse certificates that break RFC 5280 (an authority without "
        "keyUsage, a certificate without authorityKeyIdentifier): the broker's, the enrolment "
        "service's and the API server's. Those that the chart makes are in order."
    ),
    "lvm2": (
        "Create, adopt, remove, extend, power cuts and full pools on a real device mapper, in "
        "user-mode Linux. It is the host's lvm2 that counts."
    ),
    "Carina": (
        "Its definitions at a real API server, and what its controller is denied. Carina itself is "
        "not started by these tests; how it behaves beside carina-tasks was tried by hand, see "
        "[carina.md](carina.md)."
    ),
}

TAIL: Final = """\
## Other versions of Carina

- **0.14** is what the definitions, manifests and volumes of all tests are made after.
- **0.11**, the default of Carina's own chart, is not tested, and its source was not compared. From
  its manual: LogicVolume is cluster-scoped, as here. `carina doctor` names a kind that the cluster
  lacks, and a field that a volume lacks is that volume's error. Upgrade to 0.14 before you rely on
  a failover.
- **Before 0.11** it cannot work: LogicVolume was a namespaced kind, and Carina 0.9 marks pods that
  may move with `carina.io/rebuild-node-notready`, which is not read here.

## Processors

The images are built and run for amd64. For arm64 every pinned package has a wheel (`make arm64`
asks for each by the sums of the lock files), and nothing of carina-tasks is compiled; no arm64
image was ever run. See [images.md](images.md#other-processors).
"""


def page(found: Results | None = None) -> str:
    """Return the page, Markdown.

    Args:
        found: A run; the recorded one by default.

    Raises:
        OSError: No run is recorded.
        msgspec.ValidationError: What is recorded is no run.
    """
    run = found or results.read()
    lines = [HEAD, f"Run on {run.day}, release {run.release}, {run.machine}.", ""]
    for part in dict.fromkeys(row.part for row in run.rows):
        lines += [f"## {part}", "", WHAT[part], "", "| version | result | tests |", "|---|---|---|"]
        lines += [_row(row) for row in run.rows if row.part == part]
        lines.append("")
    return "\n".join([*lines, TAIL])


def _row(row: Row) -> str:
    version = f"{row.version} ({row.exact})" if row.exact else row.version
    if row.outcome == "not tested":
        return f"| {version} | not tested | none |"
    if row.outcome == "failed":
        names = ", ".join(f"`{one.partition('::')[2]}`" for one in row.broken)
        return f"| {version} | **{row.failed} failed** | {row.passed} passed; failed: {names} |"
    tries = f", {len(row.again)} of them when run again by themselves" if row.again else ""
    skipped = f"; {row.skipped} skipped" if row.skipped else ""
    return f"| {version} | tested | {row.passed} passed{tries}{skipped} |"


if __name__ == "__main__":
    sys.stdout.write(page())
