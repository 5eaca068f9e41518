# shellcheck shell=bash
# The cluster's processes: sourced by cluster.sh, which sets $directory and $id.
#
# Each is in a cgroup of ours from before its program starts, and so is whatever it starts; containers are in cgroups
# of the kubelet's below ours. Thus all can be found and ended by their ids, without a pattern on names.

# wait_until WHAT COMMAND…: waits for a condition that can be seen. The limit is for a cluster that will never come.
wait_until() {
    local what=$1 end=$((SECONDS + 120))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "gave up waiting for $what; see $directory/log"
        sleep 0.05
    done
}

is_quiet() {
    "$@" >/dev/null 2>&1
}

# Waits for the background jobs and fails if one of them did.
wait_for_jobs() {
    local job
    for job in $(jobs -p); do
        wait "$job" || fail "a part of the cluster did not start; see $directory/log"
    done
}

# The mount points of the cgroup hierarchies: the one of version 2, or several of version 1, perhaps with one of
# version 2 that has what they have not.
cgroup_hierarchies() {
    awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts
}

# The directory of ours in the hierarchy by which processes are found. The kubelet's containers are in each.
cgroup_of_processes() {
    if [[ -d /sys/fs/cgroup/pids ]]; then
        echo "/sys/fs/cgroup/pids/rooknet-$id"
    else
        echo "/sys/fs/cgroup/rooknet-$id"
    fi
}

# One cgroup for the daemons, one for the containers of each node, in every hierarchy: the kubelet makes none above
# its own.
make_cgroups() {
    local hierarchy path node file
    for hierarchy in $(cgroup_hierarchies); do
        for path in "rooknet-$id" "rooknet-$id/daemons" "${nodes[@]/#/rooknet-$id/}"; do
            if [[ $hierarchy == /sys/fs/cgroup ]]; then
                give_controllers "$(dirname "$hierarchy/$path")"
            fi
            mkdir -p "$hierarchy/$path"
            # A cgroup without processors and memory takes no process.
            for file in cpuset.cpus cpuset.mems; do
                if [[ -e $hierarchy/cgroup.clone_children && -e $hierarchy/$path/$file ]]; then
                    cat "$(dirname "$hierarchy/$path")/$file" >"$hierarchy/$path/$file"
                fi
            done
        done
    done
}

# give_controllers DIRECTORY: makes the controllers of a cgroup of version 2 those of the ones below, too.
give_controllers() {
    local controller
    for controller in $(<"$1/cgroup.controllers"); do
        grep --quiet --word-regexp "$controller" "$1/cgroup.subtree_control" ||
            echo "+$controller" >"$1/cgroup.subtree_control"
    done
}

# This script's own, so that `down` also ends what a killed command goes on to do.
join_cgroup() {
    mkdir -p "$(cgroup_of_processes)/daemons/commands"
    echo $$ >"$(cgroup_of_processes)/daemons/commands/cgroup.procs"
}

# processes_in CGROUP: the ids in a cgroup of ours and below it.
processes_in() {
    find "$(cgroup_of_processes)/$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

# kill_all CGROUP: ends all processes of a cgroup of ours, and waits until they are gone.
kill_all() {
    wait_until "the end of the processes in $1" kill_those_left "$1"
}

kill_those_left() {
    local left
    mapfile -t left < <(processes_in "$1")
    [[ ${#left[@]} -gt 0 ]] || return 0
    # Some may have ended meanwhile.
    kill -KILL "${left[@]}" 2>/dev/null || true
    return 1
}

# run_in CGROUP COMMAND…: goes on as the command, in a cgroup of ours.
run_in() {
    local cgroup
    cgroup=$(cgroup_of_processes)/daemons/$1
    shift
    mkdir -p "$cgroup"
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    exec "$@"
}

# start_daemon GROUP/NAME COMMAND…: starts a daemon unless it runs. Its output goes to log/NAME.log.
start_daemon() {
    local path=$1 name=${1#*/}
    shift
    ! is_running "$path" || return 0
    (
        echo "$BASHPID" >"$directory/pid/${path/\//-}"
        # `down` makes sure by this that no process has left its cgroup.
        export ROOKNET_TEST_CLUSTER=$id
        exec 8<&- 9<&-
        run_in "$path" setsid "$@"
    ) </dev/null >>"$directory/log/${path/\//-}.log" 2>&1 &
    wait_until "the start of $name" is_running_or_gone "$path" $!
    disown $! 2>/dev/null || true
}

is_running_or_gone() {
    is_running "$1" || ! kill -0 "$2" 2>/dev/null
}

# Its id, as long as it runs: ids are used again, but not in our cgroups.
daemon_pid() {
    local pid
    pid=$(cat "$directory/pid/${1/\//-}" 2>/dev/null) || return 1
    grep --quiet --line-regexp "$pid" "$(cgroup_of_processes)/daemons/$1/cgroup.procs" 2>/dev/null || return 1
    ! is_zombie "$pid" || return 1
    echo "$pid"
}

# Whether a process has ended, and only who started it has not asked how.
is_zombie() {
    [[ $(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) == Z ]]
}

is_running() {
    daemon_pid "$1" >/dev/null
}

is_stopped() {
    ! is_running "$1"
}

# need_running NAME: for use while waiting for something of a daemon, which will not come when it ended.
need_running() {
    is_running "$1" || fail "${1#*/} ended: $(tail -n 3 "$directory/log/${1/\//-}.log")"
}

# stop_daemon GROUP/NAME: ends the daemon, and not what it started: containers outlive their runtime's daemon.
stop_daemon() {
    local pid
    pid=$(daemon_pid "$1") || return 0
    kill -KILL "$pid" 2>/dev/null || true
    wait_until "the end of $1" is_stopped "$1"
}

# What the processes hold, shared pages counted in parts.
memory() {
    local group pid
    printf '%8s  %s\n' MiB what
    for group in daemons/control daemons/node-a daemons/node-b node-a node-b; do
        for pid in $(processes_in "$group"); do
            sed -n "s/^Pss: *\([0-9]*\) kB/\1 $(cat "/proc/$pid/comm" 2>/dev/null)/p" "/proc/$pid/smaps_rollup" \
                2>/dev/null || true
        done | awk -v group="$group" '
            { held[$2] += $1; count[$2]++; all += $1 }
            END {
                for (name in held) printf "%8.1f  %s %s (%d)\n", held[name] / 1024, group, name, count[name]
            }'
    done | sort --numeric-sort --reverse | awk '{ print; all += $1 } END { printf "%8.1f  all\n", all }'
}
