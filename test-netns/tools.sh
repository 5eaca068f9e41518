#!/usr/bin/env bash
# Installs cnitool, the reference plugins and the programs that the demo and the tests call, as far as they are
# missing, and prints the directory of cnitool and the plugins.
set -euo pipefail
source "$(dirname "$0")/machine.sh"

cnitool_version=v1.3.0
plugins_version=v1.9.1
plugins=(
    main/{bridge,host-device,ipvlan,loopback,macvlan,ptp,vlan}
    ipam/{host-local,static}
    meta/{bandwidth,portmap,sbr,tuning}
)

need_programs ip=iproute2 ping=iputils-ping jq=jq flock=util-linux nsenter=util-linux setpriv=util-linux \
    nft=nftables iptables=iptables

directory=$cache/cni-tools-$cnitool_version-$plugins_version
lock_cache

missing=()
for plugin in "${plugins[@]}"; do
    [[ -x $directory/${plugin#*/} ]] ||
        missing+=("github.com/containernetworking/plugins/plugins/$plugin@$plugins_version")
done
[[ -x $directory/cnitool ]] || missing+=("github.com/containernetworking/cni/cnitool@$cnitool_version")

if [[ ${#missing[@]} -gt 0 ]]; then
    command -v go >/dev/null ||
        fail "go is missing, and cnitool and the reference plugins are built with it: install Go 1.21 or newer"
    echo "building ${#missing[@]} CNI programs, once on this machine" >&2
    # Built beside their place and renamed into it, so that a killed run leaves no half a program there.
    mkdir -p "$directory"
    built=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$built"' EXIT
    for program in "${missing[@]}"; do
        # Not `-ldflags -s`: a panic of a reference plugin should be readable.
        GOBIN=$built CGO_ENABLED=0 GOFLAGS=-trimpath go install "$program" ||
            fail "go install $program failed; it needs the Go module proxy"
    done
    mv -f "$built"/* "$directory/"
fi

echo "$directory"
