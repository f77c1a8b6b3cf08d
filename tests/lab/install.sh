#!/usr/bin/env bash
# Gets the real parts of tests/system (and podman for the compose test) on a fresh Debian 12, as root.
# Idempotent, and quick when everything is there: it asks for what is missing before it fetches anything.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
say() { echo "install: $*"; }

[ "$(id -u)" = 0 ] || { say "run as root" >&2; exit 1; }

# --- Debian packages -------------------------------------------------------------------------------------------------
packages=(
  ca-certificates openssl git                                    # fetch, keys, the list of source files
  gcc libc6-dev                                                  # the preload of tests/lab/uml/xstate.c
  user-mode-linux lvm2 thin-provisioning-tools kmod iproute2     # nodes
  redis-server python3 python3-venv                              # broker, the nodes' Python
  prometheus                                                     # and promtool: metrics, rules, the dashboard's queries
  podman runc podman-compose debootstrap netavark aardvark-dns iptables   # the compose test (netavark runs iptables)
  chromium                                                       # Flower as people see it
)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
updated=
apt_install() {
  [ -n "$updated" ] || apt-get update -q
  updated=1
  # --no-install-recommends: recommended packages bring a running redis or a container network nobody asked for.
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}
# Keeps Debian from starting a redis-server of its own: the tests start theirs, on sockets of their own.
if [ ${#missing[@]} -gt 0 ]; then
  say "apt: ${missing[*]}"
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy && chmod +x $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt_install "${missing[@]}"
fi

# --- Go (only when something must be built) --------------------------------------------------------------------------
# kwok 0.8 needs Go 1.26. Any Go from 1.21 on fetches the toolchain that a go.mod asks for from the module proxy
# (GOTOOLCHAIN=auto); Debian 12 has 1.19, its backports 1.23.
go_works() { command -v go >/dev/null && go version | grep -qE 'go1\.(2[1-9]|[3-9][0-9])'; }
need_go() {
  export GOTOOLCHAIN=auto PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
  go_works && return
  say "Go 1.21 or newer is lacking: trying bookworm-backports"
  local backports=/etc/apt/sources.list.d/carina-tasks-backports.list mirror
  mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n1 | tr -d ' ' || true)
  if [ -n "$mirror" ]; then
    echo "deb $mirror bookworm-backports main" > $backports
    updated=
    DEBIAN_FRONTEND=noninteractive apt_install -t bookworm-backports golang-go || rm -f $backports
  fi
  go_works && return
  say "no Go. Install Go 1.26 or newer (/usr/local/go is looked at too), put it on PATH, run again" >&2
  exit 1
}

# --- Kubernetes control plane and kwok, built from their Go modules, kept outside the repository ---------------------
settings=$(cd "$repository" && /usr/bin/python3 -c '
from tests.lab import paths
print(paths.KUBERNETES_VERSION, paths.KWOK_VERSION, paths.HELM_VERSION,
      paths.control_plane_folder(), paths.kwok_folder(), paths.helm_folder())
print(int(all(map(paths.control_plane_binary, ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]))),
      int(paths.kwok_binary() is not None), int(paths.kubectl_binary() is not None),
      int(paths.helm_binary() is not None))')
read -r kubernetes_version kwok_version helm_version control_plane kwok helm \
  control_plane_there kwok_there kubectl_there helm_there <<<"${settings//$'\n'/ }"

if [ "$control_plane_there" = 0 ] || [ "$kubectl_there" = 0 ]; then
  need_go
  say "building the control plane $kubernetes_version (5 minutes on 2 cores)"
  "$here/controlplane/build.sh" "$kubernetes_version" "$control_plane"
fi
if [ "$kwok_there" = 0 ]; then
  need_go
  say "building kwok $kwok_version (2 minutes on 2 cores)"
  mkdir -p "$kwok"
  GOBIN="$kwok" go install "sigs.k8s.io/kwok/cmd/kwok@$kwok_version"
  module=$(cd "$(mktemp -d)" && go mod download -json "sigs.k8s.io/kwok@$kwok_version" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
  for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
               pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
    echo '---'
    cat "$module/kustomize/stage/$stage.yaml"
  done > "$kwok/.stages.yaml"
  mv "$kwok/.stages.yaml" "$kwok/stages.yaml"
fi
if [ "$helm_there" = 0 ]; then
  need_go
  say "building helm $helm_version (2 minutes on 2 cores)"
  # As its Makefile does: without these flags it calls itself v3.21 and takes Kubernetes for 1.20 when no cluster is asked.
  module=helm.sh/helm/v3 flags="-s -w" minor=${kubernetes_version#v1.}
  flags+=" -X $module/internal/version.version=$helm_version"
  for package in chartutil lint/rules; do
    flags+=" -X $module/pkg/$package.k8sVersionMajor=1 -X $module/pkg/$package.k8sVersionMinor=${minor%%.*}"
  done
  mkdir -p "$helm"
  (cd / && GOBIN="$helm" CGO_ENABLED=0 go install -trimpath -ldflags "$flags" "$module/cmd/helm@$helm_version")
fi
if ! command -v kubectl >/dev/null && [ -x "$control_plane/kubectl" ]; then
  ln -s "$control_plane/kubectl" /usr/local/bin/kubectl
fi

# --- the nodes' kernel on processors with more register state than it knows ------------------------------------------
preload=$(cd "$repository" && /usr/bin/python3 -c 'from tests.lab import paths; print(paths.xstate_preload())')
if [ ! -e "$preload" ] || [ "$here/uml/xstate.c" -nt "$preload" ]; then
  mkdir -p "$(dirname "$preload")"
  gcc -shared -fPIC -O2 -Wall -o "$preload" "$here/uml/xstate.c"
fi

# --- Debian 13's lvm2: the nodes run it by chroot ---------------------------------------------------------------------
trixie=$(cd "$repository" && /usr/bin/python3 -c 'from tests.lab import paths; print(paths.other_lvm())')
if [ ! -x "$trixie/usr/sbin/lvm" ]; then
  say "Debian 13 for its lvm2 (half a minute)"
  mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n1 | tr -d ' ' || true)
  rm -rf "$trixie.new"
  # Without a mirror in apt's sources, debootstrap asks its own default.
  debootstrap --variant=minbase --include=lvm2,thin-provisioning-tools trixie "$trixie.new" ${mirror:+"$mirror"} > "$trixie.log" 2>&1 \
    || { tail -n 5 "$trixie.log" >&2; exit 1; }
  mv "$trixie.new" "$trixie"
fi

# --- the nodes' virtual environment ----------------------------------------------------------------------------------
cd "$repository" && exec /usr/bin/python3 - <<'PYTHON'
from tests.lab import paths
from tests.lab.uml import software

control_plane, kwok, kubectl = paths.control_plane_binary("kube-apiserver"), paths.kwok_binary(), paths.kubectl_binary()
print(f"install: control plane {control_plane}, kwok {kwok}, kubectl {kubectl}, nodes {software.environment()}")
PYTHON
