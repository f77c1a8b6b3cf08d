#!/usr/bin/env bash
# Builds the three images of deploy/Dockerfile: deploy/images.sh [TARGET…]   (make images; docs/images.md)
#
#   REPOSITORY=localhost/carina-tasks   names: REPOSITORY (runtime), REPOSITORY-node, REPOSITORY-demo
#   VERSION=0.1.0                       their tag; the release by default
#   PLATFORMS=linux/amd64,linux/arm64   more than one makes a manifest list; needs an emulator for the foreign ones
#   BASE=python:3.11-slim-bookworm      the base image; by digest (python@sha256:…) for an image that is published
#   TWICE=1                             builds each twice without a cache, and fails when the two differ: for what is published
#
# Files and history get one fixed time (SOURCE_DATE_EPOCH overrides), so that one content and one base image give one digest.
# podman's cache does not look at that time: layers of another build may come with theirs. Hence no cache with TWICE.
set -euo pipefail

cd "$(dirname "$0")/.."
repository=${REPOSITORY:-localhost/carina-tasks}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)}
platforms=${PLATFORMS:-}
epoch=${SOURCE_DATE_EPOCH:-315532800}   # 1980: the oldest time that a wheel can hold
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(runtime node demo)

fail() { echo "images: $*" >&2; exit 1; }
command -v podman >/dev/null || fail "podman is missing: install it, or build each target with docker buildx as docs/images.md shows"
[[ $epoch =~ ^[0-9]+$ ]] || fail "SOURCE_DATE_EPOCH is '$epoch': want seconds since 1970"

name_of() {
  case $1 in
    runtime) echo "$repository:$version" ;;
    node | demo) echo "$repository-$1:$version" ;;
    *) fail "no target $1; there are runtime, node and demo" ;;
  esac
}

# build TARGET NAME
build() {
  local target=$1 name=$2
  local options=(--target "$target" --timestamp "$epoch" -f deploy/Dockerfile)
  [ -z "${BASE:-}" ] || options+=(--build-arg "BASE=$BASE")
  [ -z "${TWICE:-}" ] || options+=(--no-cache)
  if [ -z "$platforms" ]; then
    podman build -q "${options[@]}" -t "$name" . >/dev/null
    return
  fi
  # A list of an earlier run would keep its images beside the new ones.
  podman manifest rm "$name" >/dev/null 2>&1 || podman rmi "$name" >/dev/null 2>&1 || true
  podman build -q "${options[@]}" --platform "$platforms" --manifest "$name" . >/dev/null
}

for target in "${targets[@]}"; do
  name=$(name_of "$target")
  echo "images: $name${platforms:+ for $platforms}"
  build "$target" "$name" || fail "$name was not built. A foreign platform needs its emulator (qemu-user-static with binfmt) and a base image of that platform"
  if [ -n "$platforms" ]; then
    continue
  fi
  first=$(podman image inspect --format '{{.Id}}' "$name")
  if [ -n "${TWICE:-}" ]; then
    build "$target" "$name-twice"
    second=$(podman image inspect --format '{{.Id}}' "$name-twice")
    podman untag "$name-twice" "$name-twice"   # without the second word it takes every name
    [ "$first" = "$second" ] || fail "$name: two builds differ, $first and $second"
    echo "images: built again without a cache, the same"
  fi
  podman image inspect --format "images: {{.Id}}, {{.Size}} bytes" "$name"
done
