#!/usr/bin/env bash
# Measures what the API server costs an ADD (test-kube/measure.rs): prints medians, their ratio and peaks of memory; and
# the agent's memory (test-kube/agent/measure.rs).
#
# ROOKNET: the plugin (target/dist/rooknet). ROOKNETCTL: the agent (the tests' own build).
# ROOKNET_CNI_TOOLS: cnitool and the reference plugins.
# ROOKNET_CONTROL_PLANE: the API server and etcd.
set -euo pipefail
cd "$(dirname "$0")/.."
source test-netns/machine.sh

[[ $EUID -eq 0 ]] || fail "it makes network namespaces: run it as root"
ROOKNET=$(realpath "${ROOKNET:-target/dist/rooknet}")
[[ -x $ROOKNET ]] || fail "$ROOKNET is missing: run make build"
ROOKNET_CNI_TOOLS=${ROOKNET_CNI_TOOLS:-$(./test-netns/tools.sh)}
ROOKNET_CONTROL_PLANE=${ROOKNET_CONTROL_PLANE:-$(./test-kube/control-plane.sh)}
export ROOKNET ROOKNET_CNI_TOOLS ROOKNET_CONTROL_PLANE
exec cargo test --locked --features fault-injection,cli --test kube -- --ignored --nocapture measure::
