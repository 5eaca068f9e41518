#!/usr/bin/env bash
# cluster.sh up [DIR]: starts a real Kubernetes with two nodes on this machine and prints how to use it (root).
# cluster.sh down [DIR]: removes every trace of it, also of one that was killed or is half there.
#
# DIR is target/cluster without one, and not below the directory of another cluster. Other commands, for tests, take it
# from CLUSTER_DIR. Each has had its effect when it returns, and may be given twice:
#
#   enter NODE COMMAND…                        runs a command in a node's namespaces; NODE may be `control`
#   stop | start NODE containerd | kubelet     a daemon of a node; containers go on without it
#   reboot NODE                                all processes and namespaces of a node and its /run are new
#   nic NODE stor0 | stor1 delete | create     a storage interface vanishes, or comes back
#   api stop | start                           the API server; etcd goes on
#   import IMAGE.tar NODE                      an image into a node's containerd
#   memory                                     what the processes of the cluster hold, in MiB
#
# What it is made of, and which tricks a test must know: see README.md beside this.
set -euo pipefail
# A relative directory is meant from where the caller is.
directory=$(realpath --canonicalize-missing --no-symlinks \
    "${CLUSTER_DIR:-$(dirname "$0")/../target/cluster}")
if [[ ${1:-} == up || ${1:-} == down ]] && [[ $# -gt 1 ]]; then
    directory=$(realpath --canonicalize-missing --no-symlinks "$2")
fi
cd "$(dirname "$0")"
source ../test-netns/machine.sh
source processes.sh
source network.sh
source control.sh
source node.sh
source images.sh
source remove.sh

[[ $EUID -eq 0 ]] || fail "a cluster needs namespaces, mounts and cgroups: run this as root"

# All names on the machine hold this, so that clusters in two directories do not meet, and so that `down` finds what a
# killed `up` left even when the directory is gone.
id=$(sha256sum <<<"$directory" | cut -c 1-6)
nodes=(node-a node-b)
marker=$directory/.rooknet-cluster

usage() {
    sed -n '2,/^set /{/^set /d; s/^# \?//; p}' cluster.sh >&2
    exit 2
}

# The argument, if it is one of the others.
one_of() {
    local given=$1 name
    shift
    for name in "$@"; do
        [[ $given != "$name" ]] || return 0
    done
    fail "\"$given\" is none of: $*"
}

need_cluster() {
    [[ -e $directory/ready ]] || fail "there is no cluster in $directory: make one by cluster.sh up"
    join_cgroup
}

# One `up` or `down` of a directory at a time: the lock is on its parent, which stays. Nothing that is started
# inherits it.
lock_directory() {
    mkdir -p "$(dirname "$directory")"
    exec 8<"$(dirname "$directory")"
    flock 8
}

up() {
    local node
    lock_directory
    if [[ ! -e $directory/ready ]] || ! is_everything_running; then
        tools=$(./tools.sh)
        remove_cluster
        mkdir -p "$directory"/{log,pid,control}
        touch "$marker"
        ln -s "$tools" "$directory/tools"
        make_cgroups
        join_cgroup
        make_images
        make_control_network
        start_control_plane
        for node in "${nodes[@]}"; do
            make_node "$node"
            start_node "$node" 8<&- &
        done
        wait_for_jobs
        import_own_images
        for node in "${nodes[@]}"; do
            wait_until "the node $node to be ready" is_node_ready "$node"
        done
        wait_until "the service account default/default" \
            is_quiet kubectl get serviceaccount default
        touch "$directory/ready"
    fi
    cat <<TEXT
# Kubernetes $(api_get /version | jq --raw-output .gitVersion) with the nodes ${nodes[*]}; its logs: $directory/log
# Any kubectl will do, for example $tools_in_directory/kubectl get pods -A --watch
# A shell on a node: $PWD/cluster.sh enter node-a bash
export CLUSTER_DIR=$directory
export KUBECONFIG=$directory/kubeconfig
TEXT
}

down() {
    lock_directory
    remove_cluster
}

tools_in_directory=$directory/tools

case ${1:-} in
up) [[ $# -le 2 ]] || usage; up ;;
down) [[ $# -le 2 ]] || usage; down ;;
enter)
    [[ $# -ge 3 ]] || usage
    need_cluster
    one_of "$2" control "${nodes[@]}"
    enter "${@:2}"
    ;;
stop | start)
    [[ $# -eq 3 ]] || usage
    need_cluster
    one_of "$2" "${nodes[@]}"
    one_of "$3" containerd kubelet
    "${1}_$3" "$2"
    ;;
reboot)
    [[ $# -eq 2 ]] || usage
    need_cluster
    one_of "$2" "${nodes[@]}"
    reboot "$2"
    ;;
nic)
    [[ $# -eq 4 ]] || usage
    need_cluster
    one_of "$2" "${nodes[@]}"
    one_of "$3" "${storage_interfaces[@]}"
    one_of "$4" delete create
    "${4}_interface" "$2" "$3"
    ;;
api)
    [[ $# -eq 2 ]] || usage
    need_cluster
    one_of "$2" stop start
    "${2}_api"
    ;;
import)
    [[ $# -eq 3 ]] || usage
    need_cluster
    one_of "$3" "${nodes[@]}"
    import "$2" "$3"
    ;;
memory) [[ $# -eq 1 ]] || usage; need_cluster; memory ;;
*) usage ;;
esac
