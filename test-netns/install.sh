#!/usr/bin/env bash
# install.sh DIRECTORY: puts target/dist/rooknet there. A runtime may call the plugin at any moment, so it is replaced
# by a rename: there is always a whole program under the name, and never one that is open for writing.
set -euo pipefail
source "$(dirname "$0")/machine.sh"
cd "$(dirname "$0")/.."

directory=$1
[[ -f target/dist/rooknet ]] || fail "target/dist/rooknet is missing: run make build first"
mkdir -p "$directory" || fail "$directory cannot be created; try it as root, or with DESTDIR"
new=$(mktemp "$directory/.rooknet.XXXXXX") || fail "$directory cannot be written; try it as root, or with DESTDIR"
trap 'rm -f "$new"' EXIT
install -m 0755 target/dist/rooknet "$new"
sync "$new"
mv -f "$new" "$directory/rooknet"
sync "$directory"
echo "$directory/rooknet"
