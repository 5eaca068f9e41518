# shellcheck shell=bash
# The end of a cluster, from whatever state: sourced by cluster.sh. What is looked for is known by the directory alone,
# as a killed run wrote nothing down.

remove_cluster() {
    local hierarchy name
    [[ ! -e $directory || -e $marker || -z $(ls -A "$directory") ]] ||
        fail "$directory is not a cluster's directory, and its content would be lost: name another"
    wait_until "the end of all processes of the cluster" kill_every_process
    for name in $(netns_left); do
        remove_netns "$name"
    done
    for hierarchy in $(cgroup_hierarchies); do
        remove_cgroups "$hierarchy/rooknet-$id"
    done
    # The marker last, so that a killed run can be repeated.
    if [[ -e $directory ]]; then
        find "$directory" -mindepth 1 -maxdepth 1 ! -path "$marker" -exec rm -rf --one-file-system {} +
        rm -f "$marker"
        rmdir "$directory"
    fi
    verify_removed
}

# By their cgroups, in which one stays until it has ended altogether; and by what it was started with, one that has left
# them.
cluster_processes() {
    local file
    for file in $(
        grep --files-with-matches "/rooknet-$id\(/\|$\)" /proc/[0-9]*/cgroup 2>/dev/null
        grep --files-with-matches --null-data --line-regexp "ROOKNET_TEST_CLUSTER=$id" /proc/[0-9]*/environ 2>/dev/null
    ); do
        file=${file%/*}
        [[ $file == "/proc/$$" ]] || is_zombie "${file#/proc/}" || echo "${file#/proc/}"
    done
}

kill_every_process() {
    local left
    mapfile -t left < <(cluster_processes)
    [[ ${#left[@]} -gt 0 ]] || return 0
    kill -KILL "${left[@]}" 2>/dev/null || true
    return 1
}

netns_left() {
    find /run/netns -maxdepth 1 -name "rooknet-$id-*" -printf '%f\n' 2>/dev/null || true
}

remove_netns() {
    [[ ! -e /run/netns/$1 ]] || ip netns delete "$1"
}

# remove_cgroups DIRECTORY: a cgroup and those below it; the kernel needs a moment after its last process.
remove_cgroups() {
    wait_until "the end of the cgroup $1" is_cgroup_gone "$1"
}

is_cgroup_gone() {
    [[ ! -d $1 ]] || is_quiet find "$1" -depth -type d -exec rmdir {} +
}

# Says what is left, so that nothing of ours ever stays on a machine unseen.
verify_removed() {
    local left=() hierarchy name
    mapfile -t left < <(
        for name in $(cluster_processes); do
            echo "process $name ($(tr '\0' ' ' <"/proc/$name/cmdline" 2>/dev/null | cut -c 1-80))"
        done
        netns_left | sed 's/^/network namespace /'
        for hierarchy in $(cgroup_hierarchies); do
            [[ ! -e $hierarchy/rooknet-$id ]] || echo "cgroup $hierarchy/rooknet-$id"
        done
        awk -v inside="$directory/" 'index($4, inside) == 1 || index($5, inside) == 1 { print "mount", $5 }' \
            /proc/self/mountinfo
        [[ ! -e $directory ]] || echo "directory $directory"
    )
    [[ ${#left[@]} -eq 0 ]] || fail "not everything could be removed:" "$(printf '\n  %s' "${left[@]}")"
}
