# shellcheck shell=bash
# The cluster's networks: sourced by cluster.sh.
#
# The namespace `control` holds the switches and the control plane, and is the router of all nodes:
#
#   management      10.10.0.1/24   eth0 of the nodes; the API server, at 10.10.0.1 and at the service's address
#   public-switch                  stor0 of the nodes, without addresses: masters for the pods' storage interfaces
#   cluster-switch                 stor1 of the nodes
#
# Since they are in namespaces of ours, the addresses and names may be the same in every cluster.

control_address=10.10.0.1
service_address=10.96.0.1
storage_interfaces=(stor0 stor1)
declare -A switch_of=([stor0]=public-switch [stor1]=cluster-switch)
declare -A mtu_of=([management]=1500 [public-switch]=9000 [cluster-switch]=9000)
declare -A address_of=([node-a]=10.10.0.11 [node-b]=10.10.0.12)
declare -A pods_of=([node-a]=10.244.1 [node-b]=10.244.2)

# The name of a network namespace of ours on the machine.
netns() {
    echo "rooknet-$id-$1"
}

# in_control COMMAND…
in_control() {
    nsenter --net="/run/netns/$(netns control)" -- "$@"
}

make_control_network() {
    local switch node
    ip netns add "$(netns control)"
    in_control sysctl --quiet --write net.ipv4.ip_forward=1
    in_control ip link set lo up
    for switch in "${!mtu_of[@]}"; do
        in_control ip link add "$switch" mtu "${mtu_of[$switch]}" type bridge mcast_snooping 0
        in_control ip link set "$switch" up
    done
    in_control ip address add "$control_address/24" dev management
    # Nobody translates the service's address: the server itself has it, and the nodes' default route leads here.
    in_control ip address add "$service_address/32" dev lo
    for node in "${nodes[@]}"; do
        in_control ip route add "${pods_of[$node]}.0/24" via "${address_of[$node]}"
    done
}

# The network namespace of a node that has just started.
make_node_network() {
    local node=$1 other name interface
    name=$(netns "$node")
    ip netns add "$name"
    nsenter --net="/run/netns/$name" -- sysctl --quiet --write net.ipv4.ip_forward=1
    ip -n "$name" link set lo up
    join "$node" eth0 management
    ip -n "$name" address add "${address_of[$node]}/24" dev eth0
    ip -n "$name" route add default via "$control_address"
    for other in "${nodes[@]}"; do
        [[ $other == "$node" ]] || ip -n "$name" route add "${pods_of[$other]}.0/24" via "${address_of[$other]}"
    done
    for interface in "${storage_interfaces[@]}"; do
        create_interface "$node" "$interface"
    done
}

# join NODE INTERFACE SWITCH
join() {
    local node=$1 interface=$2 switch=$3
    # A namespace takes its links with it, but later than the command that ends it returns.
    remove_switch_end "$node" "$interface"
    in_control ip link add "$node-$interface" mtu "${mtu_of[$switch]}" type veth \
        peer name "$interface" mtu "${mtu_of[$switch]}" netns "$(netns "$node")"
    in_control ip link set "$node-$interface" master "$switch" up
    ip -n "$(netns "$node")" link set "$interface" up
}

create_interface() {
    has_interface "$1" "$2" || join "$1" "$2" "${switch_of[$2]}"
    wait_until "the carrier of $2" carries "$1" "$2"
}

carries() {
    [[ $(ip -n "$(netns "$1")" -json link show "$2" | jq --raw-output '.[].operstate') == UP ]]
}

# By the switch's end, which takes the other with it.
delete_interface() {
    remove_switch_end "$1" "$2"
    ! has_interface "$1" "$2" || ip -n "$(netns "$1")" link delete "$2"
}

has_interface() {
    is_quiet ip -n "$(netns "$1")" link show "$2"
}

remove_switch_end() {
    ! is_quiet in_control ip link show "$1-$2" || is_quiet in_control ip link delete "$1-$2" ||
        ! is_quiet in_control ip link show "$1-$2" || fail "the link $1-$2 cannot be deleted"
}
