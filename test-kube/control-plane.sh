#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kubectl and pod-resources (the kubelet's service of that name, for tests), as far as they
# are missing, and prints a directory with all of them. The first time on a machine takes minutes; the directory is named
# after the versions, and after the source of what is our own, and lies outside the build tree.
set -euo pipefail
cd "$(dirname "$0")"
source ../test-netns/machine.sh

module_version() {
    awk -v module="$1" '$1 == module && $2 ~ /^v/ { print $2; exit }' control-plane/go.mod
}
kubernetes=$(module_version k8s.io/kubernetes)
etcd=$(module_version go.etcd.io/etcd/server/v3)
[[ $kubernetes && $etcd ]] || fail "control-plane/go.mod names no version of k8s.io/kubernetes or of etcd"

directory=$cache/control-plane-$kubernetes-etcd-$etcd
declare -A packages=(
    [etcd]=go.etcd.io/etcd/server/v3
    [kube-apiserver]=k8s.io/kubernetes/cmd/kube-apiserver
    [kubectl]=k8s.io/kubernetes/cmd/kubectl
)
# Its source changes without a version, so another checkout's build of it must not be taken: it lies in a directory of
# its own, with links to the others.
own=$directory/tests-$(cat control-plane/go.mod control-plane/pod-resources/*.go | sha256sum | cut -c 1-16)
declare -A directories=([pod-resources]=$own)
packages[pod-resources]=./pod-resources
lock_cache

# Kubernetes' programs refuse one another when they do not know their own version.
component=k8s.io/component-base/version
IFS=. read -r major minor _ <<<"${kubernetes#v}"
ldflags="-s -w -X $component.gitVersion=$kubernetes -X $component.gitMajor=$major -X $component.gitMinor=$minor"

for program in "${!packages[@]}"; do
    place=${directories[$program]:-$directory}
    [[ ! -x $place/$program ]] || continue
    command -v go >/dev/null || fail "go is missing, and $program is built with it: install Go 1.25 or newer"
    echo "building $program, once on this machine" >&2
    # Built beside its place and renamed into it, so that a killed run leaves no half a program there.
    mkdir -p "$place"
    built=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$built"' EXIT
    (cd control-plane && CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$built/$program" "${packages[$program]}") ||
        fail "go build of $program failed; it needs the Go module proxy"
    mv "$built/$program" "$place/"
    rmdir "$built"
done
for program in "${!packages[@]}"; do
    [[ -e $own/$program ]] || ln -s "../$program" "$own/$program"
done

echo "$own"
