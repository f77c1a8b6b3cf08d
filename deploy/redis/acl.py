#!/usr/bin/env python3
"""Make Redis users for carina-tasks: one for the control side, one for Flower, one for each node.

    python3 deploy/redis/acl.py --address redis.kube-system.svc:6379 n1 n2 n3

writes into the folder `redis-users` (keep it as you keep private keys)

    users.acl            for Redis: `aclfile`, then `ACL LOAD`; holds digests, no passwords
    _control.url         for the Secret carina-tasks-redis, key `url`
    _flower.url          for the same Secret, key `flower-url`
    _enrolment.url       for the Secret carina-tasks-enrolment, key `url` (docs/enrolment.md)
    <node>.url           for /etc/carina-tasks/redis-url on that node, and on no other

Called again it keeps the users that are there and adds what is new, so that a node can join.
With enrolment, name no nodes: the service makes their users.
`--remove` takes nodes out. `--scheme rediss` writes URLs for TLS; what else TLS takes is in
docs/redis.md. Needs Python's standard library only.
"""

from __future__ import annotations

import argparse
import re
import runpy
import secrets
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

RULES = Path(__file__).resolve().parents[2] / "carina_tasks" / "store" / "acl_rules.py"
"""What each user may do is written there, and read by the enrolment service too."""

HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?)(:[0-9]{1,5})?")
"""Host and port; an IPv6 address in brackets."""

NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def main() -> int:
    """Read the command line and write the files; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nodes", nargs="*", metavar="NODE", help="name of a Kubernetes node")
    parser.add_argument(
        "--address",
        default="carina-tasks-redis.kube-system.svc:6379",
        help="HOST:PORT[,HOST:PORT…][/DB] of Redis, or of every Sentinel; IPv6 as [ADDRESS]:PORT",
    )
    parser.add_argument(
        "--scheme",
        default="redis",
        choices=("redis", "rediss", "sentinel"),
        help="rediss: with TLS. sentinel: with TLS where CARINA_TASKS_SENTINEL_TLS is true",
    )
    parser.add_argument("--folder", type=Path, default=Path("redis-users"))
    parser.add_argument(
        "--remove", action="store_true", help="remove the nodes in place of adding them"
    )
    options = parser.parse_args()
    try:
        rules_of = runpy.run_path(str(RULES))
    except OSError as exc:
        sys.stderr.write(f"acl.py needs the repository that it is part of: {exc}" + "\n")
        return 1
    shared, node_rules, line = rules_of["SHARED"], rules_of["node_rules"], rules_of["line"]
    reserved = rules_of["RESERVED"]
    if bad := [node for node in options.nodes if not NODE_NAME.fullmatch(node) or node in reserved]:
        sys.stderr.write(f"these cannot be names of nodes' users: {', '.join(bad)}" + "\n")
        return 1
    hosts, _, database = options.address.partition("/")
    addresses = hosts.split(",")
    several = len(addresses) > 1 and options.scheme != "sentinel"
    if several or not all(map(HOST.fullmatch, addresses)) or database.strip("0123456789"):
        sys.stderr.write(
            "--address takes HOST:PORT/DB, IPv6 as [ADDRESS]:PORT; several with commas between "
            "them go with --scheme sentinel\n"
        )
        return 1

    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = {path.stem: path for path in options.folder.glob("*.url")}
    lines = []
    for user in sorted({*shared, *known, *options.nodes}):
        path = options.folder / f"{user}.url"
        if options.remove and user in options.nodes:
            path.unlink(missing_ok=True)
            continue
        name, rules = shared.get(user) or (user, node_rules(user))
        try:
            password = known_password(path) or secrets.token_urlsafe(24)
        except ValueError:
            sys.stderr.write(f"{path} holds no URL: restore it, or remove it for a new password\n")
            return 1
        login = f"{name}:{quote(password, safe='')}"
        urls = [f"{options.scheme}://{login}@{host}/{database or 0}" for host in addresses]
        write(path, ";".join(urls) + "\n")
        lines.append(line(name, rules, password))
    # Without it Redis' default user needs no password and may do everything.
    text = "\n".join(["user default reset off", *lines]) + "\n"
    write(options.folder / "users.acl", text)
    sys.stdout.write(text)
    return 0


def known_password(path: Path) -> str:
    """Return the password in a file of an earlier call, empty when there is no file.

    Raises:
        ValueError: The file holds no URL with a password.
    """
    if not path.exists():
        return ""
    found = unquote(urlsplit(path.read_text().strip()).password or "")
    if not found:
        raise ValueError
    return found


def write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
