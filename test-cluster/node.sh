# shellcheck shell=bash
# The nodes: sourced by cluster.sh. What a node keeps over a reboot is in $directory/NODE/files, which it sees at the
# usual places; see node-mounts.sh.

# make_node NODE: the files of a node that was never started.
make_node() {
    local node=$1 files=$directory/$1/files
    mkdir -p "$files"/{opt/cni/bin,etc/cni/net.d,etc/containerd,etc/kubernetes/manifests}
    cp "$tools"/cni/* "$files/opt/cni/bin/"
    cat >"$files/etc/cni/net.d/10-primary.conflist" <<JSON
{
  "cniVersion": "1.1.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "${pods_of[$node]}.0/24" }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    }
  ]
}
JSON
    cat >"$files/etc/containerd/config.toml" <<TOML
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
imports = []
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "/run/containerd/containerd.sock"

# How long CNI calls take, as the runtime sees it: at /v1/metrics.
[metrics]
  address = "127.0.0.1:1338"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "$pause_image"

[plugins."io.containerd.cri.v1.runtime"]
  # Only who has CAP_SYS_RESOURCE may make a process less likely to be killed.
  restrict_oom_score_adj = true
TOML
    write_kubeconfig "$files/etc/kubernetes/kubelet.conf" "$node" "$api_url"
    cp "$control/ca.crt" "$files/etc/kubernetes/ca.crt"
    cat >"$files/etc/kubernetes/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
staticPodPath: /etc/kubernetes/manifests
volumePluginDir: /var/lib/kubelet/volume-plugins
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: /etc/kubernetes/ca.crt}}
authorization: {mode: AlwaysAllow}
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: ""
cgroupDriver: cgroupfs
cgroupRoot: /rooknet-$id/$node
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
evictionHard: {memory.available: 1Mi, nodefs.available: 1Mi}
imageGCHighThresholdPercent: 100
eventRecordQPS: 0
YAML
}

# start_node NODE: as at boot, with the files as they are.
start_node() {
    local node=$1
    make_node_network "$node"
    start_daemon "$node/holder" nsenter --net="/run/netns/$(netns "$node")" -- unshare --mount --propagation private \
        sh node-mounts.sh "$directory/$node/files"
    wait_until "the mounts of $node" are_mounts_ready "$node"
    start_containerd "$node"
    start_kubelet "$node"
}

are_mounts_ready() {
    need_running "$1/holder"
    [[ -e $(run_of "$1")/.ready ]]
}

# A node's /run, as it is seen from the machine.
run_of() {
    local holder
    holder=$(daemon_pid "$1/holder") || fail "$1 is not running"
    echo "/proc/$holder/root/run"
}

# on NODE COMMAND…: goes on as a command in a node's namespaces, in which $directory may not be seen.
on() {
    local holder
    holder=$(daemon_pid "$1/holder") || fail "$1 is not running: start the cluster by cluster.sh up"
    exec env PATH="$(readlink "$tools_in_directory"):$PATH" ROOKNET_TEST_CLUSTER="$id" \
        nsenter --net="/run/netns/$(netns "$1")" --mount="/proc/$holder/ns/mnt" -- "${@:2}"
}

# enter NODE COMMAND…: the same for a person or a test. It ends with the node.
enter() {
    exec 8<&-
    if [[ $1 == control ]]; then
        run_in control/entered nsenter --net="/run/netns/$(netns control)" -- "${@:2}"
    fi
    local cgroup
    cgroup=$(cgroup_of_processes)/daemons/$1/entered
    mkdir -p "$cgroup"
    echo $$ >"$cgroup/cgroup.procs"
    on "$@"
}

# start_on NODE NAME COMMAND…: starts a daemon in a node's namespaces.
start_on() {
    local node=$1 name=$2 holder
    shift 2
    holder=$(daemon_pid "$node/holder") || fail "$node is not running"
    start_daemon "$node/$name" env PATH="$(readlink "$tools_in_directory"):$PATH" \
        nsenter --net="/run/netns/$(netns "$node")" --mount="/proc/$holder/ns/mnt" -- "$@"
}

start_containerd() {
    start_on "$1" containerd containerd --log-level info
    wait_until "containerd of $1 to answer" is_containerd_ready "$1"
}

is_containerd_ready() {
    need_running "$1/containerd"
    # The CRI service answers last.
    (on "$1" ctr plugins list "id==cri") 2>/dev/null | grep --quiet 'io.containerd.grpc.v1 .* ok'
}

stop_containerd() {
    stop_daemon "$1/containerd"
}

start_kubelet() {
    start_on "$1" kubelet kubelet --config /etc/kubernetes/kubelet.yaml --kubeconfig /etc/kubernetes/kubelet.conf \
        --hostname-override "$1" --node-ip "${address_of[$1]}" --root-dir /var/lib/kubelet
    wait_until "the kubelet of $1 to be healthy" is_kubelet_healthy "$1"
    ! is_running control/kube-apiserver || wait_until "the kubelet of $1 to know its pods" is_kubelet_informed "$1"
}

# Before it has read its pods from the API server it refuses to execute anything in them. It tells of static pods by
# another id than the API server does of their mirrors.
is_kubelet_informed() {
    local known
    known=$(in_control curl --silent --fail --max-time 5 --insecure --cert "$control/kubelet-client.crt" \
        --key "$control/kubelet-client.key" "https://${address_of[$1]}:10250/pods" |
        jq --compact-output '[.items[]?.metadata.uid]') &&
        api_get "/api/v1/pods?fieldSelector=spec.nodeName=$1" | jq --exit-status --argjson known "$known" '
            [.items[].metadata | select(.annotations["kubernetes.io/config.mirror"] == null) | .uid] - $known == []' \
            >/dev/null
}

is_kubelet_healthy() {
    need_running "$1/kubelet"
    (on "$1" curl --silent --fail --max-time 5 http://127.0.0.1:10248/healthz) >/dev/null 2>&1
}

stop_kubelet() {
    stop_daemon "$1/kubelet"
}

# Ready by its own word since it started: an older word stays in the API server for a while.
is_node_ready() {
    api_get "/api/v1/nodes/$1" 2>/dev/null |
        jq --exit-status --arg booted "$(<"$(run_of "$1")/.booted")" \
            'any(.status.conditions[]; .type == "Ready" and .status == "True" and .lastHeartbeatTime >= $booted)
             and .spec.taints == null' \
            >/dev/null
}

# halt NODE: as when its power fails.
halt() {
    local hierarchy
    kill_all "daemons/$1"
    kill_all "$1"
    for hierarchy in $(cgroup_hierarchies); do
        remove_cgroups "$hierarchy/rooknet-$id/daemons/$1"
        # The node's own stays: the kubelet needs it.
        find "$hierarchy/rooknet-$id/$1" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    remove_netns "$(netns "$1")"
}

# Its pods are not waited for: when they are back is what a test looks at. Without an API server no node can be ready.
reboot() {
    halt "$1"
    start_node "$1"
    ! is_running control/kube-apiserver || wait_until "the node $1 to be ready" is_node_ready "$1"
}

is_everything_running() {
    local node daemon
    for daemon in etcd kube-apiserver kube-controller-manager kube-scheduler forwarder-inside forwarder; do
        is_running "control/$daemon" || return 1
    done
    for node in "${nodes[@]}"; do
        for daemon in holder containerd kubelet; do
            is_running "$node/$daemon" || return 1
        done
    done
}
