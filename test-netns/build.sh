#!/usr/bin/env bash
# build.sh [PROGRAM…]: builds the release binaries (rooknet and rooknetctl, unless some are named) for this machine's
# architecture, statically, and leaves each in target/dist when it is fit to be installed. The same source, compiler and
# C compiler give the same bytes, wherever the checkout, cargo's home and the target directory are.
set -euo pipefail
source "$(dirname "$0")/machine.sh"
cd "$(dirname "$0")/.."

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

# Panics name source files, and cryptography's C does so too: by names that are the same everywhere.
separator=$'\x1f'
export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS:+$CARGO_ENCODED_RUSTFLAGS$separator}
CARGO_ENCODED_RUSTFLAGS+=--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo$separator
CARGO_ENCODED_RUSTFLAGS+=--remap-path-prefix=$PWD=/rooknet
export "CFLAGS_${target//-/_}=-ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo"

# build PROGRAM SIZE-LIMIT FEATURES OPTION…
build() {
    local program=$1 size_limit=$2 features=$3 artifact built headers sections size found
    shift 3
    # With a target directory of the user's, cargo's own answer is the only sure one. It also says with which features.
    artifact=$(cargo build --locked --bin "$program" --target "$target" --message-format=json-render-diagnostics "$@" |
        grep '"executable":"' | tail -n 1) || fail "the build of $program failed"
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
    [[ $artifact == *"\"features\":[$features]"* ]] ||
        fail "$built was built with other features than [$features]; with fault-injection tests can kill it"
    found=0
    grep --quiet --text ROOKNET_FAULT "$built" || found=$?
    [[ $found -eq 1 ]] || fail "$built contains ROOKNET_FAULT: the points at which tests kill it are in it"
    "$built" --version >/dev/null || fail "$built --version fails"

    mkdir -p target/dist
    new=$(mktemp "target/dist/.$program.XXXXXX")
    trap 'rm -f "$new"' EXIT
    install -m 0755 "$built" "$new"
    mv -f "$new" "target/dist/$program"
    echo "target/dist/$program: $size bytes, static, $target"
}

programs=("$@")
[[ ${#programs[@]} -gt 0 ]] || programs=(rooknet rooknetctl)
for program in "${programs[@]}"; do
    case $program in
    rooknet) build rooknet 5000000 "" --release ;;
    rooknetctl) build rooknetctl 16000000 '"cli"' --profile release-ctl --features cli ;;
    *) fail "there is no program $program" ;;
    esac
done
