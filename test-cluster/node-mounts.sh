#!/bin/sh
# Makes the mount namespace in which it runs that of a node, and holds it; to be run in the node's network namespace.
#
#   unshare --mount --propagation private sh node-mounts.sh FILES
#
# The node sees the machine's files, but cannot change them, except in /tmp. It has a /run of its own, empty as after
# boot; at each place that a runtime, a kubelet or a plugin writes to, what is at that place below FILES, on a file
# system and not an overlay, as containerd makes its own there; and what else it writes below /etc, /opt and /var lasts
# until it reboots.
set -eu

files=$1

# The namespaces and sockets of others are not the node's.
umount --recursive --lazy /run/netns 2>/dev/null || true

# Built at a place of ours and then moved, so that FILES may also be below /run.
mkdir -p "$files/run"
mount -t tmpfs -o mode=0755 tmpfs "$files/run"
mkdir "$files/run/.node" "$files/run/.cgroup" "$files/run/netns" "$files/run/lock"
mount --bind "$files" "$files/run/.node"
mount --rbind /sys/fs/cgroup "$files/run/.cgroup"
mount --no-mtab --move "$files/run" /run

# Without this the /sys of the machine would show the machine's interfaces.
mount -t sysfs sysfs /sys
mount --no-mtab --move /run/.cgroup /sys/fs/cgroup

for directory in etc opt var; do
    changes=/run/.overlay/$directory
    mkdir -p "$changes/upper" "$changes/work"
    mount -t overlay -o "lowerdir=/$directory,upperdir=$changes/upper,workdir=$changes/work" overlay "/$directory"
done
for directory in /var/lib/cni /var/lib/rooknet /var/lib/kubelet /var/lib/containerd /var/log \
    /etc/cni /etc/kubernetes /etc/containerd /opt/cni; do
    mkdir -p "$directory" "/run/.node$directory"
    mount --bind "/run/.node$directory" "$directory"
done
umount /run/.node
rmdir /run/.node /run/.cgroup

# Tests and people hand over files there.
mount --bind /tmp /tmp
mount -o remount,bind,ro /

# By which the kubelet's word of this boot is told from one of a former boot.
date --utc +%Y-%m-%dT%H:%M:%SZ >/run/.booted

# As on a real node: what is mounted later, as pods' network namespaces are, reaches the pods that ask for it.
mount --make-rshared /

touch /run/.ready
exec sleep infinity
