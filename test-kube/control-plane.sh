#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kubectl and pod-resources (the kubelet's service of that name, for tests), as far as they
# are missing, and prints a directory with all of them. The first time on a machine takes minutes; the directory is named
# after the versions, and after the source of what is our own, and lies outside the build tree.
set -euo pipefail
cd "$(dirname "$0")"
source ../test-netns/machine.sh
source kubernetes-programs.sh

directory=$cache/control-plane-$kubernetes-etcd-$etcd
# Its source changes without a version, so another checkout's build of it must not be taken: it lies in a directory of
# its own, with links to the others.
own=$directory/tests-$(cat control-plane/go.mod control-plane/pod-resources/*.go | sha256sum | cut -c 1-16)
lock_cache

build_program "$directory" etcd go.etcd.io/etcd/server/v3
build_program "$directory" kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build_program "$directory" kubectl k8s.io/kubernetes/cmd/kubectl
build_program "$own" pod-resources ./pod-resources
for program in etcd kube-apiserver kubectl; do
    [[ -e $own/$program ]] || ln -s "../$program" "$own/$program"
done

echo "$own"
