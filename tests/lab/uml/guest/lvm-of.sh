#!/bin/sh
# Runs the lvm of another Debian release, whose root folder is $1, on this node's disks: /dev, /run and lvm.conf are the node's.
root=$1
shift
if ! mountpoint -q "$root/proc"; then
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount --bind /dev "$root/dev"
  mount --bind /run "$root/run"
  mount --bind /etc/lvm "$root/etc/lvm"
  mount --bind /tmp "$root/tmp"
fi
exec chroot "$root" lvm "$@"
