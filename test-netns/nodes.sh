# shellcheck shell=bash
# Two nodes and their networks, and calls of cnitool on them: sourced by scripts that run in namespaces of their own
# (see demo.sh), so that nothing needs to be undone.
#
# Needs: $tools (the directory of cnitool and the reference plugins), $rooknet (the plugin), and machine.sh.
: "${tools:?}" "${rooknet:?}"

declare -A node_pid

# The process that holds a node's namespaces reads from this and never gets anything: it stays until it is killed.
mkfifo /run/hold
exec {hold}<>/run/hold

# start_node NODE: a node with the files of conf/demo/NODE.
start_node() {
    local node=$1 tries
    unshare --mount --net --propagation private sh test-netns/node-init.sh "$tools" <&"$hold" >"/run/$node.ready" &
    node_pid[$node]=$!
    for ((tries = 0; tries < 500; tries++)); do
        [[ ! -s /run/$node.ready ]] || break
        kill -0 "${node_pid[$node]}" 2>/dev/null || break
        sleep 0.02
    done
    [[ -s /run/$node.ready ]] || fail "$node cannot be set up"
    on "$node" mkdir /etc/cni/rooknet
    on "$node" cp -r "$PWD/conf/demo/$node/net.d" /etc/cni/
    on "$node" cp -r "$PWD/conf/demo/$node/networks" /etc/cni/rooknet/
    on "$node" cp "$rooknet" /opt/cni/bin/rooknet
}

# start_switch NAME MTU: a bridge in this script's own network namespace.
start_switch() {
    ip link add "$1" mtu "$2" type bridge mcast_snooping 0
    ip link set "$1" up
}

# join SWITCH NODE INTERFACE [ADDRESS]
join() {
    local switch=$1 node=$2 interface=$3 mtu
    mtu=$(<"/sys/class/net/$switch/mtu")
    ip link add "$node-$interface" mtu "$mtu" type veth \
        peer name "$interface" mtu "$mtu" netns "${node_pid[$node]}"
    ip link set "$node-$interface" master "$switch" up
    on "$node" ip link set "$interface" up
    [[ $# -lt 4 ]] || on "$node" ip address add "$4" dev "$interface"
}

# on NODE COMMAND…: runs a command on a node.
on() {
    local node=$1
    shift
    nsenter --target "${node_pid[$node]}" --mount --net -- "$@"
}

# in_pod NODE POD COMMAND…: runs a command in a pod's network namespace.
in_pod() {
    local pid=${node_pid[$1]} pod=$2
    shift 2
    nsenter --target "$pid" --mount "--net=/proc/$pid/root/run/netns/$pod" -- "$@"
}

# The id that cnitool gives a container: made from the path of its network namespace.
container_id() {
    local digest
    digest=$(printf '/run/netns/%s' "$1" | sha512sum)
    echo "cnitool-${digest:0:20}"
}

# The selection annotation of a pod: an OSD's in the JSON form, a mon's in the short one.
selection() {
    case $1 in
    osd-*) echo '[{"name":"public","interface":"public"},{"name":"cluster","interface":"cluster"}]' ;;
    mon-*) echo 'public@public' ;;
    esac
}

# cni_environment POD: what a runtime passes for a pod besides the container, as words for env(1), one a line.
cni_environment() {
    local pod=$1
    echo "CNI_PATH=/opt/cni/bin"
    echo "NETCONFPATH=/etc/cni/net.d"
    echo "CNI_IFNAME=eth0"
    echo "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=rook-ceph;K8S_POD_NAME=$pod;K8S_POD_UID=uid-of-$pod;K8S_POD_INFRA_CONTAINER_ID=$(container_id "$pod")"
    jq --null-input --raw-output --arg selection "$(selection "$pod")" \
        '"CAP_ARGS=" + ({"io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": $selection}} | tojson)'
}

# cni OPERATION NODE POD: attaches, checks or detaches a pod as a runtime would.
cni() {
    local environment
    mapfile -t environment < <(cni_environment "$3")
    on "$2" env "${environment[@]}" "$tools/cnitool" "$1" pods "/run/netns/$3"
}
