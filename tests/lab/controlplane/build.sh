#!/usr/bin/env bash
# Usage: build.sh VERSION DEST      e.g. build.sh v1.34.4 ~/.cache/carina-tasks/controlplane-v1.34.4
#
# Builds the control plane from the Go module k8s.io/kubernetes (about 5 minutes on 2 cores, 2 GB of Go caches).
# That module lists its staging modules at v0.0.0 and replaces them by folders of its own repository; replacements of
# a dependency are ignored, so our go.mod replaces each by the published release of the same number.
set -euo pipefail

version=${1:?usage: build.sh VERSION DEST} dest=${2:?usage: build.sh VERSION DEST}
[[ $version =~ ^v1\.([0-9]+)\.[0-9]+$ ]] || { echo "build.sh: version $version: want v1.MINOR.PATCH" >&2; exit 2; }
minor=${BASH_REMATCH[1]}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/main.go" "$work/"
cd "$work"

upstream=$(go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/^\t"GoMod": "\(.*\)",\{0,1\}$/\1/p')
{
  printf 'module controlplane\n\n'
  grep -E '^go [0-9]' "$upstream"
  printf '\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$version"
  sed -nE "s#^\t(k8s\.io/[a-z-]+) => \./staging.*#\t\1 => \1 v0.${version#v1.}#p" "$upstream"
  printf ')\n'
} > go.mod
go mod tidy

base=k8s.io/component-base/version
# Built beside its place and moved there in one step: a build that is interrupted leaves no half of a binary.
mkdir -p "$dest"
CGO_ENABLED=0 go build -trimpath -o "$dest/.controlplane.$$" \
  -ldflags "-s -w -X $base.gitVersion=$version -X $base.gitMajor=1 -X $base.gitMinor=$minor" .
mv "$dest/.controlplane.$$" "$dest/controlplane"
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl; do
  ln -sfn controlplane "$dest/$name"
done
"$dest/kube-apiserver" --version
