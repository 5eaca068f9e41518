#!/usr/bin/env bash
# Builds the release binary for this machine's architecture, statically, and leaves it as target/dist/rooknet when it
# is fit to be installed.
set -euo pipefail
source "$(dirname "$0")/machine.sh"
cd "$(dirname "$0")/.."

size_limit=5000000

case $(uname -m) in
x86_64) target=x86_64-unknown-linux-musl ;;
aarch64) target=aarch64-unknown-linux-musl ;;
*) fail "rooknet is built for x86_64 and aarch64, and this machine is $(uname -m)" ;;
esac

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.89 or newer, for example by rustup"
command -v cc >/dev/null || fail "a C linker is missing: install gcc"
command -v readelf >/dev/null || fail "readelf is missing: install binutils"
# The cryptography under TLS is partly C, and compiled for the target.
need_programs "$(uname -m)-linux-musl-gcc=musl-tools"

if [[ ! -d $(rustc --print target-libdir --target "$target") ]]; then
    command -v rustup >/dev/null ||
        fail "Rust's standard library for $target is missing: install it, or install Rust by rustup, which fetches it"
    rustup target add "$target" || fail "rustup cannot add the target $target: is Rust's download site reachable?"
fi

# With a target directory of the user's, cargo's own answer is the only sure one. It also says with which features.
artifact=$(cargo build --release --locked --bin rooknet --target "$target" --message-format=json-render-diagnostics |
    grep '"executable":"' | tail -n 1) || fail "the build failed"
built=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$artifact")
[[ -f $built ]] || fail "cargo named no program that it built"

# Each check fails also when it cannot be made.
headers=$(readelf --wide --program-headers "$built")
[[ $headers != *INTERP* ]] || fail "$built is not static: it asks for a program interpreter"
sections=$(readelf --wide --section-headers "$built")
[[ $sections != *.symtab* ]] || fail "$built is not stripped"
size=$(stat --format=%s "$built")
((size < size_limit)) || fail "$built has $size bytes, and $size_limit are too many"
# Twice, since an optimizer may take a short text apart so that it is not found.
[[ $artifact == *'"features":['* && $artifact != *fault-injection* ]] ||
    fail "$built was built with fault-injection: the points at which tests kill it are in it"
found=0
grep --quiet --text ROOKNET_FAULT "$built" || found=$?
[[ $found -eq 1 ]] || fail "$built contains ROOKNET_FAULT: the points at which tests kill it are in it"
"$built" --version >/dev/null || fail "$built --version fails"

mkdir -p target/dist
new=$(mktemp target/dist/.rooknet.XXXXXX)
trap 'rm -f "$new"' EXIT
install -m 0755 "$built" "$new"
mv -f "$new" target/dist/rooknet
echo "target/dist/rooknet: $size bytes, static, $target"
