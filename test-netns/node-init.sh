# shellcheck shell=sh
# Turns the mount and network namespace in which it runs into a "node", and holds both until its stdin ends.
#
#   unshare --mount --net --propagation private sh -c "$(cat provide.sh node-init.sh)" node CNI_TOOLS
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
