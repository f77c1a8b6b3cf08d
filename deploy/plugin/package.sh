#!/bin/sh
# package.sh VERSION URL: writes kubectl-carina.tar.gz and its krew manifest, carina.yaml, into the
# current folder. URL is where you serve the archive. Then, on any machine with krew:
#   kubectl krew install --manifest=carina.yaml
set -eu
[ $# -eq 2 ] || { echo "usage: $0 VERSION URL   for example 0.1.0 https://files.example.com/kubectl-carina.tar.gz" >&2 && exit 2; }
case $2 in https://*) ;; *) echo "$0: $2 is no https:// address" >&2 && exit 2 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
tar --sort=name --owner=0 --group=0 --mtime=@0 -C "$here" -cf - kubectl-carina \
    -C "$here/../.." LICENSE | gzip -n >kubectl-carina.tar.gz
sum=$(sha256sum kubectl-carina.tar.gz | cut -d' ' -f1)
cat >carina.yaml <<END
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: carina
spec:
  version: v$1
  shortDescription: Look at and steer the failover of Carina's volumes
  description: |
    Runs the commands of carina-tasks (status, failed, plan, history, ...) in one of its control
    pods, in whichever namespace they are.
  platforms:
    - selector:
        matchExpressions:
          - {key: os, operator: In, values: [linux, darwin]}
      uri: $2
      sha256: $sum
      bin: kubectl-carina
      files:
        - {from: kubectl-carina, to: .}
        - {from: LICENSE, to: .}
END
