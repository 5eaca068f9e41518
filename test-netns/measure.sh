#!/usr/bin/env bash
# Measures ADD and DEL of the demo's OSD (eth0 by bridge, public and cluster by macvlan, host-local) with hyperfine:
# the plugin is called directly, as a runtime does, on a node of its own. A millisecond of each figure is sh(1), which
# gives it its input. RUNS (25).
#
# ROOKNET: the plugin (target/dist/rooknet). ROOKNET_CNI_TOOLS: cnitool and the reference plugins.
set -euo pipefail
cd "$(dirname "$0")/.."
source test-netns/machine.sh

if [[ ${1-} != inside ]]; then
    [[ $EUID -eq 0 ]] || fail "it makes network namespaces: run it as root"
    need_programs hyperfine=hyperfine
    rooknet=$(realpath "${ROOKNET:-target/dist/rooknet}")
    [[ -x $rooknet ]] || fail "$rooknet is missing: run make build"
    tools=${ROOKNET_CNI_TOOLS:-$(./test-netns/tools.sh)}
    export rooknet tools
    # As in demo.sh: with this process the kernel ends the others and removes every interface and mount.
    exec unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
        "$BASH" test-netns/measure.sh inside
fi

mount -t tmpfs tmpfs /run
mount -t sysfs sysfs /sys
source test-netns/nodes.sh

start_switch storage-public 9000
start_switch storage-cluster 9000
start_node node-a
join storage-public node-a stor0
join storage-cluster node-a stor1
on node-a ip netns add osd-0

jq --arg selection "$(selection osd-0)" '.plugins[0] + {cniVersion, name, runtimeConfig: {
    "io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": $selection}}}' \
    conf/demo/node-a/net.d/10-rooknet.conflist | on node-a tee /run/config.json >/dev/null
# Debian's hyperfine can give a program no input.
# shellcheck disable=SC2016
printf '#!/bin/sh\nCNI_COMMAND=$1 exec /opt/cni/bin/rooknet </run/config.json >/dev/null\n' |
    on node-a tee /run/call >/dev/null
on node-a chmod 755 /run/call

mapfile -t environment < <(cni_environment osd-0)
environment+=("CNI_CONTAINERID=$(container_id osd-0)" "CNI_NETNS=/run/netns/osd-0")
measure() {
    on node-a env "${environment[@]}" hyperfine --shell=none --warmup 2 --runs "${RUNS:-25}" --style basic \
        --prepare "/run/call $2" --export-json "/run/$1.json" "/run/call $1" >/dev/null
    on node-a cat "/run/$1.json" | jq --raw-output --arg operation "$1" '.results[]
        | (.median, .min, .max) |= (. * 10000 | round / 10)
        | "\($operation): median \(.median) ms, \(.min) to \(.max) ms in \(.times | length) runs"'
}
measure ADD DEL
# The last of those is still attached; the first preparation of a DEL is an ADD.
on node-a env "${environment[@]}" /run/call DEL
measure DEL ADD
