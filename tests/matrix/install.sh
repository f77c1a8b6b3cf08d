#!/usr/bin/env bash
# Gets what `make matrix` looks at and the ordinary lab (tests/lab/install.sh, first) does not have: the control planes of
# other Kubernetes releases, built from their Go modules (7 minutes each on 2 cores), and Debian 13's Redis 8 and Valkey 8.
# Idempotent. Valkey 9 comes with the demo's Python package; other Pythons are the machine's own (PATH or pyenv).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
say() { echo "matrix: $*"; }
[ "$(id -u)" = 0 ] || { say "run as root" >&2; exit 1; }

# The newest patch of each minor that the module proxy of this machine is known to have.
kubernetes=(v1.30.14 v1.37.2)
cache=$(cd "$repository" && /usr/bin/python3 -c 'from tests.lab import paths; print(paths.cache())')
shared=$(cd "$repository" && /usr/bin/python3 -c 'from tests.lab import paths; print(paths.shared())')

brokers=$shared/brokers
if [ ! -x "$brokers/usr/bin/valkey-server" ] || [ ! -x "$brokers/usr/bin/redis-server" ]; then
  say "Debian 13 for its Valkey 8 and Redis 8 (half a minute)"
  mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n1 | tr -d ' ' || true)
  rm -rf "$brokers.new"
  mkdir -p "$shared"
  debootstrap --variant=minbase --include=valkey-server,redis-server trixie "$brokers.new" ${mirror:+"$mirror"} > "$brokers.log" 2>&1 \
    || { tail -n 5 "$brokers.log" >&2; exit 1; }
  mv "$brokers.new" "$brokers"
fi

# One that cannot be had is a row of the table, not the end of this script.
for version in "${kubernetes[@]}"; do
  [ -x "$cache/controlplane-$version/kube-apiserver" ] && continue
  say "building the control plane $version"
  "$repository/tests/lab/controlplane/build.sh" "$version" "$cache/controlplane-$version" \
    || say "no control plane $version: it stays \"not tested\"" >&2
done

cd "$repository" && "${PYTHON:-.venv/bin/python}" -m tests.matrix --list
