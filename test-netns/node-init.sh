#!/bin/sh
# Turns the mount and network namespace in which it runs into a "node", and holds both until its stdin ends.
#
#   unshare --mount --net --propagation private sh node-init.sh CNI_TOOLS
#
# The node keeps the machine's programs, but every directory that a CNI plugin, cnitool or `ip netns` writes to is an
# empty one of its own, so that nothing here reaches the machine and nothing of the machine's is taken for the node's.
# CNI_TOOLS is the directory of cnitool and the reference plugins; /opt/cni/bin shows them.
#
# Prints "ready" when all is set up. At the end of stdin (the owner closed the pipe or died) it kills what is still
# running in its mount namespace; with the last process go the namespaces, and with them the links and mounts.
set -eu

cni_tools=$1

mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/netns /run/lock

# A shared mount point of its own: `ip netns add` wants that, and would otherwise make one at each start.
mount --bind /run/netns /run/netns
mount --make-shared /run/netns

# Without this the /sys of the machine would show the machine's interfaces.
mount -t sysfs sysfs /sys

directories="/var/lib/cni /var/lib/rooknet /var/lib/kubelet /etc/cni /opt/cni/bin"

# A directory at $1. Where the machine has none, it must not get one either: the nearest parent is then covered by an
# overlay whose changes go to the node's /run.
provide() {
    [ ! -d "$1" ] || return 0
    parent=$(dirname "$1")
    while [ ! -d "$parent" ]; do
        parent=$(dirname "$parent")
    done
    upper=/run/.overlay/$(echo "$parent" | tr / _)
    if [ ! -d "$upper" ]; then
        mkdir -p "$upper/upper" "$upper/work"
        mount -t overlay -o "lowerdir=$parent,upperdir=$upper/upper,workdir=$upper/work" overlay "$parent" || {
            echo "node: no overlay over $parent is possible, so $1 cannot be made private:" \
                "create $1 or load the overlay module" >&2
            exit 1
        }
    fi
    mkdir -p "$1"
}

# All of them first: an overlay would cover what is mounted below it already.
for directory in $directories; do
    provide "$directory"
done
for directory in $directories; do
    mount -t tmpfs -o mode=0755 tmpfs "$directory"
done

mkdir /etc/cni/net.d
ln -s "$cni_tools"/* /opt/cni/bin/

ip link set lo up
echo ready

# `read` fails at the end of input; whatever is written to us meanwhile is passed over.
while read -r _; do :; done

own=$(readlink /proc/self/ns/mnt)
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    if [ "$pid" != $$ ] && [ "$(readlink "$process/ns/mnt" 2>/dev/null)" = "$own" ]; then
        kill -KILL "$pid" 2>/dev/null || true
    fi
done
