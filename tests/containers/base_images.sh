#!/usr/bin/env bash
# Makes sure that podman has the two base images of docker-compose.yml: pulled where a registry answers, else built from
# Debian packages under the same names, and kept as archives outside the repository for the next machine or run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export CONTAINERS_CONF=${CONTAINERS_CONF:-$here/containers.conf}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/carina-tasks/images
python=python:3.11-slim-bookworm
redis=redis:7-bookworm
say() { echo "base images: $*"; }

# get IMAGE FUNCTION: leave what is there; else the archive, else the registry, else build. One run at a time.
get() {
  local image=$1 build=$2 archive=$cache/${1##*/}.tar
  archive=${archive/:/-}
  podman image exists "$image" && return
  if [ -s "$archive" ]; then
    say "loading $archive"
    podman load -q -i "$archive" >/dev/null
    return
  fi
  if timeout 60 podman pull -q "$image" >/dev/null 2>&1; then
    say "pulled $image"
    return
  fi
  say "no registry gives $image: building it (a minute)"
  "$build" "$image"
  podman save -q -o "$archive.new" "$image"
  mv "$archive.new" "$archive"
}

build_python() {
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm "$work/root" \
    >"$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; exit 1; }
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/* \
    "$work"/root/usr/lib/python3*/EXTERNALLY-MANAGED
  ln -sf /usr/bin/python3 "$work/root/usr/local/bin/python"
  ln -sf /usr/bin/python3 "$work/root/usr/local/bin/python3"
  tar -C "$work/root" -c . | podman import -q - "$1" >/dev/null
}

build_redis() {
  printf '%s\n' "FROM $python" \
    'RUN apt-get update -q && apt-get install -y -q --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*' \
    'CMD ["redis-server", "--protected-mode", "no"]' >"$work/Dockerfile"
  podman build -q -t "$1" -f "$work/Dockerfile" "$work" >/dev/null
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
get $python build_python
get $redis build_redis
say "$python and $redis are there"
