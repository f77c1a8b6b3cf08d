"""`kubectl exec`, for a cluster whose API server reaches no kubelet: `python -m tests.lab.kubelet
.enter FOLDER kubectl-words…`.

The command runs in the pod: its files, its network, its user and its environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.lab.kubelet.sandbox import enter_command


def main(folder: str, *words: str) -> None:
    """Become the command that follows `--`, in the pod that follows `exec`."""
    before, command = words[: words.index("--")], list(words[words.index("--") + 1 :])
    pod = next(one for one in before[before.index("exec") + 1 :] if not one.startswith("-"))
    pid = int(Path(folder, pod, "pid").read_text())
    data = Path(f"/proc/{pid}/environ").read_bytes().decode()
    env = dict(line.split("=", 1) for line in data.split("\0") if line)
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    uid, gid = (next(x for x in status if x.startswith(n)).split()[1] for n in ("Uid", "Gid"))
    ids = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--"]
    argv = enter_command(pid, [*ids, *command])
    os.execvpe(argv[0], argv, env)


if __name__ == "__main__":
    main(*sys.argv[1:])
