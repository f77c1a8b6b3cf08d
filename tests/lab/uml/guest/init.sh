#!/bin/bash
# PID 1 of a node. The kernel gives us the host's files as a read-only root (hostfs) and, as environment, the words of
# its command line that it does not know: LAB (folder to see again below /tmp and the like) and CONFIG (node.json).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root
here=$(dirname "$0")

if [ "$1" != inside ]; then
  mount -t proc proc /proc
  mount -t tmpfs -o mode=755 run /run
  kernel=$(uname -r)
  mkdir -p /run/modules/lib/modules /run/root
  ln -s "/usr/lib/uml/modules/$kernel" "/run/modules/lib/modules/$kernel"
  modprobe -d /run/modules -a overlay dm-mod dm-thin-pool dm-snapshot dm-mirror
  # Writes go to memory: nodes share the host's files and cannot change them.
  mount -t tmpfs -o mode=755,size=64m root /run/root
  mkdir /run/root/upper /run/root/work /run/root/merged
  mount -t overlay overlay -o lowerdir=/,upperdir=/run/root/upper,workdir=/run/root/work /run/root/merged || exit 1
  cd /run/root/merged
  mount --move /proc proc
  mount --move /dev dev
  mount -t sysfs sysfs sys
  mkdir -p dev/pts dev/shm
  mount -t devpts devpts dev/pts
  mount -t tmpfs shm dev/shm
  mount -t tmpfs -o mode=755 run run
  for folder in tmp var/tmp; do mount -t tmpfs -o mode=1777 tmp $folder; done
  mkdir -p ".$LAB"
  mount --bind "$LAB" ".$LAB"
  exec chroot . /bin/bash "$0" inside
fi

# bash stays PID 1: it reaps orphans. When the agent ends the node has nothing left to do, and the kernel panics.
/usr/bin/python3 -I -S "$here/agent.py" "$CONFIG"
echo "the agent ended with $?"
