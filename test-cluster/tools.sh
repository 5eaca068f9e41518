#!/usr/bin/env bash
# Builds or installs all programs of the test cluster, as far as they are missing, and prints a directory with them:
# etcd, Kubernetes' and containerd's. The first time on a machine takes ten minutes; the directory is named after the
# versions and lies outside the build tree. The reference plugins are in the directory that test-netns/tools.sh prints,
# which is there as `cni`.
set -euo pipefail
cd "$(dirname "$0")"
source ../test-netns/machine.sh
source ../test-kube/kubernetes-programs.sh

containerd=v2.3.4

need_programs runc=runc socat=socat openssl=openssl curl=curl busybox=busybox-static
# Both of Debian's packages provide it, and only one of them is of use in an image without libraries.
busybox=$(readlink -f "$(command -v busybox)")
! ldd "$busybox" >/dev/null 2>&1 || fail "$busybox needs shared libraries: install busybox-static"

control_plane=$(../test-kube/control-plane.sh)
cni=$(../test-netns/tools.sh)
directory=$cache/cluster-$kubernetes-etcd-$etcd-containerd-$containerd
lock_cache

for program in kubelet kube-controller-manager kube-scheduler; do
    build_program "$directory" "$program" "k8s.io/kubernetes/cmd/$program"
done
for program in containerd containerd-shim-runc-v2 ctr; do
    build_program "$directory" "$program" "github.com/containerd/containerd/v2/cmd/$program@$containerd"
done
for program in etcd kube-apiserver kubectl; do
    ln -sfn "$(readlink -f "$control_plane/$program")" "$directory/$program"
done
ln -sfn "$cni" "$directory/cni"

echo "$directory"
