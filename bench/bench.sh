#!/usr/bin/env bash
# What a pod's networks cost: rooknet native and executed, the reference plugins, Multus thin, and the floor under all of
# them, in turn in one run, on a throw-away node. See docs/performance.md.
#
# BENCH_ROUNDS (40). BENCH_CASES: some of files,server,l2,ipv6,dad,store,crowd (all). MULTUS: Multus thin; without it its
# rows are missing. ROOKNET: the plugin (target/dist/rooknet). ROOKNET_CNI_TOOLS: cnitool and the reference plugins.
# ROOKNET_CONTROL_PLANE: the API server and etcd.
set -euo pipefail
cd "$(dirname "$0")/.."
source test-netns/machine.sh

[[ $EUID -eq 0 ]] || fail "it makes network namespaces: run it as root"
need_programs jq=jq strace=strace
ROOKNET=$(realpath "${ROOKNET:-target/dist/rooknet}")
[[ -x $ROOKNET ]] || fail "$ROOKNET is missing: run make build"
ROOKNET_CNI_TOOLS=${ROOKNET_CNI_TOOLS:-$(./test-netns/tools.sh)}
ROOKNET_CONTROL_PLANE=${ROOKNET_CONTROL_PLANE:-$(./test-kube/control-plane.sh)}

# The floor and the meter as rooknet is built: release, static, for the target of `make build`. What drives them needs no
# release build, since the meter takes the time.
built=$(cargo build --release --locked --features fault-injection --bin rooknet-floor --bin rooknet-meter \
    --target "$(uname -m)-unknown-linux-musl" --message-format=json-render-diagnostics |
    jq --raw-output 'select(.executable != null) | "\(.target.name) \(.executable)"')
ROOKNET_FLOOR=$(sed -n 's/^rooknet-floor //p' <<<"$built")
ROOKNET_METER=$(sed -n 's/^rooknet-meter //p' <<<"$built")
export ROOKNET ROOKNET_CNI_TOOLS ROOKNET_CONTROL_PLANE ROOKNET_FLOOR ROOKNET_METER
exec cargo bench --profile dev --locked --features fault-injection --bench life
