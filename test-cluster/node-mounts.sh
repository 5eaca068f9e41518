# shellcheck shell=sh
# Makes the mount namespace in which it runs that of a node, and holds it: run after the functions of
# test-netns/provide.sh, as one text with them, in the node's network namespace.
#
#   unshare --mount --propagation private sh -c TEXT NODE ROOT
#
# The node sees the machine's files, except that it has a /run of its own, empty as after boot, and at each place that a
# runtime, a kubelet or a plugin writes to, what is at that place below ROOT. These must not be on an overlay, as
# containerd makes its own there.
set -eu

root=$1

# The namespaces and sockets of others are not the node's.
umount --recursive --lazy /run/netns 2>/dev/null || true

# Built at a place of ours and then moved, so that ROOT may also be below /run.
mkdir -p "$root/run"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir "$root/run/.node" "$root/run/.cgroup" "$root/run/netns" "$root/run/lock"
mount --bind "$root" "$root/run/.node"
mount --rbind /sys/fs/cgroup "$root/run/.cgroup"
mount --no-mtab --move "$root/run" /run

# Without this the /sys of the machine would show the machine's interfaces.
mount -t sysfs sysfs /sys
mount --no-mtab --move /run/.cgroup /sys/fs/cgroup

directories="/var/lib/cni /var/lib/rooknet /var/lib/kubelet /var/lib/containerd /var/log
    /etc/cni /etc/kubernetes /etc/containerd /opt/cni"

# All of them first: an overlay would cover what is mounted below it already.
for directory in $directories; do
    provide "$directory"
done
for directory in $directories; do
    mkdir -p "/run/.node$directory"
    mount --bind "/run/.node$directory" "$directory"
done
umount /run/.node
rmdir /run/.node /run/.cgroup

# The kernel's own stays the same: what runs in a pod and reads it in the pod's /proc sees that.
cat /proc/sys/kernel/random/uuid >/run/.boot_id
mount --bind /run/.boot_id /proc/sys/kernel/random/boot_id

# As on a real node: what is mounted later, as pods' network namespaces are, reaches the pods that ask for it.
mount --make-rshared /

touch /run/.ready
exec sleep infinity
