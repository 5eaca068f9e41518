#!/usr/bin/env bash
# Runs each fuzz target for FUZZ_SECONDS (60) and fails at the first finding, whose input libFuzzer leaves under
# fuzz/artifacts.
set -euo pipefail
source "$(dirname "$0")/machine.sh"
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
cargo_fuzz_version=0.13.1

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.89 or newer, for example by rustup"
command -v c++ >/dev/null || fail "a C++ compiler is missing, which libFuzzer is built with: install g++"

fuzz=$cache/cargo-fuzz-$cargo_fuzz_version
if [[ ! -x $fuzz/bin/cargo-fuzz ]]; then
    lock_cache
    echo "building cargo-fuzz, once on this machine" >&2
    cargo install --quiet --locked --root "$fuzz" "cargo-fuzz@$cargo_fuzz_version"
    exec 9>&-
fi
PATH=$fuzz/bin:$PATH

# The sanitizers are unstable options; this makes a stable compiler take them.
export RUSTC_BOOTSTRAP=1
mapfile -t targets < <(cargo fuzz list)
[[ ${#targets[@]} -gt 0 ]] || fail "there are no fuzz targets"
for target in "${targets[@]}"; do
    echo
    echo "=== $target, $seconds s"
    corpus=("fuzz/corpus/$target")
    mkdir -p "${corpus[0]}"
    # What is found goes into the first directory; seeds are only read.
    [[ ! -d fuzz/seeds/$target ]] || corpus+=("fuzz/seeds/$target")
    cargo fuzz run "$target" "${corpus[@]}" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 ||
        fail "$target has a finding: see fuzz/artifacts/$target"
done
echo
echo "no finding in $seconds s each: ${targets[*]}"
