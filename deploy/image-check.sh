#!/usr/bin/env bash
# Builds binaries and image from two copies of the last commit, in directories with names of different lengths, and
# compares them byte by byte. It takes as long as two builds from nothing, so it is not among the tests.
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
source "$root/test-netns/machine.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checkouts=("$work/one" "$work/another/place")
for checkout in "${checkouts[@]}"; do
    mkdir -p "$checkout"
    git -C "$root" archive HEAD | tar --extract --directory "$checkout"
    # Neither the user's target directory, which both would share, nor what was built in it before.
    env --unset=CARGO_TARGET_DIR make --no-print-directory --directory "$checkout" image
done
for file in rooknet rooknetctl rooknet-image.tar; do
    cmp "${checkouts[0]}/target/dist/$file" "${checkouts[1]}/target/dist/$file" || fail "$file is not reproducible"
    echo "$(sha256sum <"${checkouts[0]}/target/dist/$file" | cut -d ' ' -f 1)  $file"
done
