#!/usr/bin/env bash
# Builds helm, as far as it is missing, and prints its path: a minute, once on a machine.
set -euo pipefail
source "$(dirname "$0")/../test-netns/machine.sh"

version=v3.19.5

helm=$cache/helm-$version/helm
lock_cache

if [[ ! -x $helm ]]; then
    command -v go >/dev/null || fail "go is missing, and helm is built with it: install Go 1.25 or newer"
    echo "building helm, once on this machine" >&2
    # Built beside its place and renamed into it, so that a killed run leaves no half a program there.
    mkdir -p "${helm%/*}"
    built=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$built"' EXIT
    GOBIN=$built CGO_ENABLED=0 GOFLAGS=-trimpath go install -ldflags "-s -w" "helm.sh/helm/v3/cmd/helm@$version" ||
        fail "go install of helm failed; it needs the Go module proxy"
    mv "$built/helm" "$helm"
fi

echo "$helm"
