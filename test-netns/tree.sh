#!/usr/bin/env bash
# Checks that what only rooknetctl needs is not in the plugin's dependency tree: the plugin runs as root for each pod.
set -euo pipefail
source "$(dirname "$0")/machine.sh"
cd "$(dirname "$0")/.."

# The crates that the feature `cli` adds, and those that only they need.
of_cli='^(clap|clap_[a-z]+|comfy-table|k8s-openapi|kube|kube-[a-z]+|prometheus-client|tower|tower-[a-z]+) '

# crates OPTION…: name and version of each crate of the tree, tests' ones left out.
crates() {
    cargo tree --locked --edges normal,build --prefix none --format '{p}' "$@" | cut -d ' ' -f 1,2 | sort -u
}

# Otherwise the pattern is wrong, and finds nothing anywhere.
for crate in clap kube k8s-openapi; do
    crates --features cli | grep -q "^$crate " || fail "$crate is not in rooknetctl's tree: correct this check"
done
plugin=$(crates)
if found=$(grep -E "$of_cli" <<<"$plugin"); then
    fail "the plugin's tree has crates of rooknetctl's:" $found
fi
echo "$(wc -l <<<"$plugin") crates in the plugin's tree, none of them rooknetctl's"
