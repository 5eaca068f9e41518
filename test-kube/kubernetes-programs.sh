# shellcheck shell=bash
# Builds programs of Kubernetes and of etcd in the versions that control-plane/go.mod names, and others of the Go module
# proxy: sourced, after machine.sh, by scripts that print a directory with such programs.

control_plane_module=$(cd "$(dirname "${BASH_SOURCE[0]}")/control-plane" && pwd)

module_version() {
    awk -v module="$1" '$1 == module && $2 ~ /^v/ { print $2; exit }' "$control_plane_module/go.mod"
}
kubernetes=$(module_version k8s.io/kubernetes)
etcd=$(module_version go.etcd.io/etcd/server/v3)
[[ $kubernetes && $etcd ]] || fail "control-plane/go.mod names no version of k8s.io/kubernetes or of etcd"

# build_program DIRECTORY PROGRAM PACKAGE: builds a program into a directory, unless it is there. A package without a
# version is one that control-plane/go.mod knows.
build_program() {
    local directory=$1 program=$2 package=$3 component=k8s.io/component-base/version major minor
    [[ ! -x $directory/$program ]] || return 0
    command -v go >/dev/null || fail "go is missing, and $program is built with it: install Go 1.25 or newer"
    echo "building $program, once on this machine" >&2
    # Kubernetes' programs refuse one another when they do not know their own version.
    IFS=. read -r major minor _ <<<"${kubernetes#v}"
    local flags=(-trimpath -ldflags
        "-s -w -X $component.gitVersion=$kubernetes -X $component.gitMajor=$major -X $component.gitMinor=$minor")
    # Built beside its place and renamed into it, so that a killed run leaves no half a program there.
    mkdir -p "$directory"
    built=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$built"' EXIT
    (
        cd "$control_plane_module"
        export CGO_ENABLED=0
        case $package in
        *@*) GOBIN=$built go install -trimpath "$package" ;;
        *) go build "${flags[@]}" -o "$built/$program" "$package" ;;
        esac
    ) || fail "the build of $program failed; it needs the Go module proxy"
    mv "$built/$program" "$directory/"
    rmdir "$built"
}
