#!/usr/bin/env bash
# Shows rooknet at work: Ceph-like pods on two nodes get eth0, public and cluster, talk over them, and go away without
# a trace. `make demo` builds what it needs and runs it.
#
# ROOKNET: the plugin (target/dist/rooknet). ROOKNET_CNI_TOOLS: cnitool and the reference plugins.
#
# All of it happens in a mount, network and process namespace: with the first process in there the kernel ends the
# others and removes every interface and mount. So there is nothing to clean up, after Ctrl-C and SIGKILL too.
set -euo pipefail
cd "$(dirname "$0")/.."
source test-netns/machine.sh

pods=("node-a osd-0" "node-a mon-a" "node-b osd-1" "node-b mon-b")

# ---------------------------------------------------------------------------------------------- outside the namespaces

outside() {
    [[ $EUID -eq 0 ]] || fail "it makes network namespaces: run it as root"
    rooknet=$(realpath "${ROOKNET:-target/dist/rooknet}")
    [[ -x $rooknet ]] || fail "$rooknet is missing: run make demo, which builds it"
    tools=${ROOKNET_CNI_TOOLS:-$(./test-netns/tools.sh)}
    export rooknet tools

    # The nodes write the numbers of their namespaces here; the file has no name any more.
    local list started=$EPOCHREALTIME
    list=$(mktemp)
    exec 3<>"$list"
    rm "$list"

    # If this script is killed, setpriv's signal takes unshare, and --kill-child what is inside.
    setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
        "$BASH" test-netns/demo.sh inside </dev/null &
    inside=$!
    trap 'stop 130' INT
    trap 'stop 143' TERM HUP
    local status=0
    wait "$inside" || status=$?
    trap - INT TERM HUP

    no_namespace_is_left
    [[ $status -eq 0 ]] || fail "failed; see above"
    echo "   no namespace of the two nodes is left on this machine"
    awk -v from="$started" -v to="$EPOCHREALTIME" 'BEGIN { printf "\nOK, in %.1f s\n", to - from }'
}

stop() {
    kill -KILL "$inside" 2>/dev/null || true
    wait "$inside" 2>/dev/null || true
    no_namespace_is_left
    printf '\ndemo.sh: interrupted; its namespaces are gone, and all else with them\n' >&2
    exit "$1"
}

no_namespace_is_left() {
    local namespace present tries
    # A killed process is still to be seen for a moment.
    for ((tries = 0; tries < 100; tries++)); do
        present=$(lsns --noheadings --output NS | tr -d ' ' | grep -Fx -f /proc/self/fd/4 4< <(recorded) || true)
        [[ -n $present ]] || return 0
        sleep 0.05
    done
    for namespace in $present; do
        echo "demo.sh: the namespace $namespace is still there" >&2
    done
    exit 1
}

# An empty list would match every line.
recorded() {
    echo none
    cat /proc/self/fd/3
}

# ----------------------------------------------------------------------------------------------- inside the namespaces

step() {
    number=$((number + 1))
    printf '\n%d. %s\n' "$number" "$*"
}

wrong() {
    printf '\ndemo.sh: step %d: %s\n' "$number" "$*" >&2
    exit 1
}

# Runs a command whose output matters only when it fails.
must() {
    local what=$1 said
    shift
    said=$("$@" 2>&1) || wrong "$what fails:"$'\n'"$said"
}

address_of() {
    in_pod "$1" "$2" ip -json address show dev "$3" |
        jq --raw-output '[.[].addr_info[]? | select(.family == "inet")][0].local // empty'
}

table() {
    local format='   %-7s %-6s %-10s %-18s %-19s %-18s %s\n' pair node pod name address mac mtu network
    # shellcheck disable=SC2059
    printf "$format" NODE POD INTERFACE NETWORK ADDRESS MAC MTU
    for pair in "${pods[@]}"; do
        read -r node pod <<<"$pair"
        while read -r name address mac mtu; do
            network=rook-ceph/$name
            [[ $name != eth0 ]] || network=pods
            # shellcheck disable=SC2059
            printf "$format" "$node" "$pod" "$name" "$network" "$address" "$mac" "$mtu"
        done < <(in_pod "$node" "$pod" ip -json address show | jq --raw-output '.[] | select((.ifname // "lo") != "lo")
            | [.ifname, ([.addr_info[] | select(.family == "inet") | "\(.local)/\(.prefixlen)"][0] // "-"), .address, .mtu]
            | @tsv')
    done
}

interfaces_are() {
    local found
    found=$(in_pod "$1" "$2" ip -json link show | jq --raw-output '[.[].ifname // empty] - ["lo"] | sort | join(" ")')
    [[ $found == "$3" ]] || wrong "$2 has the interfaces \"$found\" and not \"$3\""
}

# ping_over FROM-NODE FROM-POD TO-NODE TO-POD INTERFACE [SIZE]
ping_over() {
    local address size=${6:-56} tries
    address=$(address_of "$3" "$4" "$5")
    for ((tries = 0; tries < 5; tries++)); do
        if in_pod "$1" "$2" ping -n -q -c 1 -W 1 -M 'do' -s "$size" -I "$5" "$address" >/dev/null 2>&1; then
            printf '   %-6s -> %-6s over %-8s %-15s answers (%d bytes)\n' "$2" "$4" "$5" "$address" "$size"
            return
        fi
    done
    wrong "$2 on $1 does not reach $4 on $3 at $address over $5"
}

ping_all() {
    ping_over node-a osd-0 node-b osd-1 eth0
    ping_over node-a osd-0 node-b osd-1 public 8972
    ping_over node-b osd-1 node-a osd-0 cluster 8972
    ping_over node-a mon-a node-b osd-1 public
}

# Files of host-local's that stand for addresses.
addresses_in_use() {
    on "$1" find /var/lib/cni/networks -type f ! -name lock ! -name 'last_reserved_ip.*' -printf '%P\n' 2>/dev/null
}

journals() {
    on "$1" find /var/lib/rooknet -type f -printf '%f\n'
}

# What has a pod's container id in it: its journal, and its addresses.
traces_of() {
    local id
    id=$(container_id "$2")
    {
        on "$1" grep --recursive --files-with-matches --fixed-strings "$id" /var/lib/cni/networks /var/lib/rooknet || true
        on "$1" find /var/lib/rooknet -type f -name "*$id*"
    } | sort --unique
}

# Everything but the node's own ports and the bridge, which the bridge plugin never removes.
links_left() {
    on "$1" ip -json link show | jq --raw-output '.[].ifname // empty | select(IN("lo", "stor0", "stor1", "pods0", "cni0") | not)'
}

processes_left() {
    local own process pid
    own=$(readlink "/proc/${node_pid[$1]}/ns/mnt")
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        if [[ $pid != "${node_pid[$1]}" && $(readlink "$process/ns/mnt") == "$own" ]]; then
            echo "$pid"
        fi
    done 2>/dev/null
}

inside() {
    local node pod pair valid config began
    number=0
    mount -t tmpfs tmpfs /run
    mount -t sysfs sysfs /sys
    source test-netns/nodes.sh

    cat <<'INTRODUCTION'
What rooknet does on two nodes of a storage cluster. Both are made of namespaces of this machine; nothing of its own is
touched, and all of it goes at the end, after Ctrl-C too.
INTRODUCTION

    step "Two nodes; stor0 is their port on the public storage network, stor1 on the cluster network, pods0 on eth0's"
    start_switch storage-public 9000
    start_switch storage-cluster 9000
    start_switch underlay 1500
    for node in node-a node-b; do
        start_node "$node"
        stat --dereference --format=%i "/proc/${node_pid[$node]}/ns/net" "/proc/${node_pid[$node]}/ns/mnt" >&3
        join storage-public "$node" stor0
        join storage-cluster "$node" stor1
    done
    join underlay node-a pods0 10.0.0.1/24
    join underlay node-b pods0 10.0.0.2/24
    on node-a ip route add 10.244.2.0/24 via 10.0.0.2
    on node-b ip route add 10.244.1.0/24 via 10.0.0.1
    echo "   each has /etc/cni, /var/lib/cni, /var/lib/rooknet, /opt/cni/bin and /run of its own,"
    echo "   rooknet as its CNI plugin, and the configuration in conf/demo/node-a or conf/demo/node-b"

    step "ADD: on each, cnitool attaches an OSD (eth0, public, cluster) and a mon (eth0, public) as their annotation says"
    for pair in "${pods[@]}"; do
        read -r node pod <<<"$pair"
        on "$node" ip netns add "$pod"
        began=$EPOCHREALTIME
        must "cnitool add of $pod on $node" cni add "$node" "$pod"
        awk -v node="$node" -v pod="$pod" -v from="$began" -v to="$EPOCHREALTIME" -v selection="$(selection "$pod")" \
            'BEGIN { printf "   %-7s %-6s %4.0f ms  %s\n", node, pod, 1000 * (to - from), selection }'
    done

    step "What the pods have"
    table
    for pair in "${pods[@]}"; do
        read -r node pod <<<"$pair"
        case $pod in
        osd-*) interfaces_are "$node" "$pod" "cluster eth0 public" ;;
        mon-*) interfaces_are "$node" "$pod" "eth0 public" ;;
        esac
    done

    step "Traffic between the nodes, on each network"
    ping_all

    step "The mon is not on cluster"
    local target
    for target in "node-a osd-0" "node-b osd-1"; do
        read -r node pod <<<"$target"
        target=$(address_of "$node" "$pod" cluster)
        # By the mon's own routes. (Bound to `public` by force it would get an answer: a Linux host answers for each
        # of its addresses on each of its interfaces.)
        if in_pod node-a mon-a ping -n -q -c 1 -W 1 "$target" >/dev/null 2>&1; then
            wrong "mon-a reaches $pod's cluster address $target"
        fi
        printf '   mon-a  -> %-6s on cluster    %-15s no answer, as it must be\n' "$pod" "$target"
    done

    step "CHECK: every interface and address is where it was attached"
    for pair in "${pods[@]}"; do
        read -r node pod <<<"$pair"
        must "cnitool check of $pod on $node" cni check "$node" "$pod"
        echo "   $node $pod is as attached"
    done

    step "GC: the runtime on node-b lists osd-1 alone; what mon-b had goes, and only that"
    echo "   before: mon-b has its journal, $(($(traces_of node-b mon-b | wc -l) - 1)) addresses and $(in_pod node-b mon-b ip -o link show | grep -vc ': lo:') interfaces"
    # Not by `cnitool gc`, which passes no list and so deletes what is alive.
    valid=$(jq --null-input --compact-output --arg id "$(container_id osd-1)" '[{containerID: $id, ifname: "eth0"}]')
    config=$(jq --compact-output --argjson valid "$valid" \
        '.plugins[0] + {cniVersion, name, "cni.dev/valid-attachments": $valid}' conf/demo/node-b/net.d/10-rooknet.conflist)
    must "GC on node-b" on node-b env CNI_COMMAND=GC CNI_PATH=/opt/cni/bin /opt/cni/bin/rooknet <<<"$config"
    [[ -z $(traces_of node-b mon-b) ]] || wrong "GC left of mon-b: $(traces_of node-b mon-b)"
    interfaces_are node-b mon-b ""
    interfaces_are node-b osd-1 "cluster eth0 public"
    echo "   after:  mon-b has none of them; osd-1 has all it had, and still talks:"
    ping_all

    step "DEL: every pod, and mon-b too although GC has been there"
    for pair in "${pods[@]}"; do
        read -r node pod <<<"$pair"
        must "cnitool del of $pod on $node" cni del "$node" "$pod"
        echo "   $node $pod"
    done

    step "Nothing is left"
    for pair in "${pods[@]}"; do
        read -r node pod <<<"$pair"
        interfaces_are "$node" "$pod" ""
        on "$node" ip netns delete "$pod"
    done
    for node in node-a node-b; do
        local links addresses records processes names
        links=$(links_left "$node")
        addresses=$(addresses_in_use "$node")
        records=$(journals "$node")
        processes=$(processes_left "$node")
        names=$(on "$node" ls /run/netns)
        [[ -z $links$addresses$records$processes$names ]] ||
            wrong "left on $node: links ($links) addresses ($addresses) journals ($records) processes ($processes) namespaces ($names)"
        echo "   $node: no interface, address, journal, process or pod's namespace"
    done
}

case ${1-} in
inside) inside ;;
"") outside ;;
*) fail "it takes no arguments" ;;
esac
