#!/usr/bin/env bash
# rings.sh RING…: runs the given rings of the tests one after another, each to its end whatever the former gave, and
# prints a summary. Its last line, `N passed, N failed`, counts tests by the result lines of the test programs; a ring
# that fails otherwise (it does not compile, a check fails, the virtual machine dies) counts as one failed test.
#
#   checks   formatting, lints, licences, the plugin's dependencies (not counted as tests)
#   unit     ring 1: the library's own tests, and test programs that need no kernel
#   process  ring 2: the real binary with stub plugins, and faults; IPAM beside the reference plugins
#   netns    ring 3: cnitool, the reference plugins, real interfaces and traffic
#   equality rooknet beside the reference plugins, on twin nodes: the same result and the same state
#   kube     ring 4: a real Kubernetes API server, its rights and its faults
#   cluster  a real Kubernetes of two nodes, in which the kubelet and containerd do the calling
#   vm       the parts of rings 1 and 3, and of equality, that need another kernel
set -euo pipefail
source "$(dirname "$0")/machine.sh"
cd "$(dirname "$0")/.."

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.89 or newer, for example by rustup"
need_programs jq=jq

# The same features everywhere: one build of the library serves all rings.
cargo_test=(cargo test --locked --features fault-injection,cli)

ring_checks() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        rustup component add rustfmt clippy || fail "install rustfmt and clippy"
    local failed=0
    check() {
        echo "check: $1"
        shift
        "$@" || failed=1
    }
    check formatting cargo fmt --check
    check lints cargo clippy --locked --all-targets --all-features -- -D warnings
    check "lints of the release" cargo clippy --locked -- -D warnings
    check licences ./test-netns/licences.sh
    check "the plugin's tree" ./test-netns/tree.sh
    return $failed
}

ring_unit() {
    local targets name
    mapfile -t targets < <(cargo metadata --locked --no-deps --format-version 1 |
        jq --raw-output '.packages[].targets[] | select(.kind == ["test"]) | .name' | grep -vxE 'process|ctl|ipam|doctor|netns|repair|equality|kube|cluster')
    local selected=(--lib --bins)
    for name in "${targets[@]}"; do
        selected+=(--test "$name")
    done
    "${cargo_test[@]}" --no-fail-fast "${selected[@]}"
}

ring_process() {
    "${cargo_test[@]}" --no-fail-fast --test process --test ctl --test ipam --test doctor
}

# More than there are processors: a plugin waits a second and more for each fresh IPv6 address.
netns_options=(--test-threads 4)

ring_netns() {
    "${cargo_test[@]}" --no-fail-fast --test netns --test repair -- "${netns_options[@]}"
}

# Its cases run side by side by themselves.
ring_equality() {
    "${cargo_test[@]}" --test equality -- --test-threads 1
}

ring_kube() {
    "${cargo_test[@]}" --test kube -- "${netns_options[@]}"
}

# One cluster for all cases, one after another; it goes whatever they gave.
ring_cluster() {
    ./test-netns/build.sh
    ./deploy/image.sh
    # Compiled before the cluster is there, so that no kubelet waits for the compiler.
    "${cargo_test[@]}" --test cluster --no-run
    local failed=0
    CLUSTER_DIR=$(mktemp -d "${TMPDIR:-/tmp}/rooknet-cluster.XXXXXX")
    export CLUSTER_DIR
    trap './test-cluster/cluster.sh down "$CLUSTER_DIR"; rm -rf "$CLUSTER_DIR"' EXIT
    ./test-cluster/cluster.sh up "$CLUSTER_DIR" 2>"$logs/cluster-up.log" || fail "no cluster: see $logs/cluster-up.log"
    ROOKNET=$PWD/target/dist/rooknet ROOKNETCTL=$PWD/target/dist/rooknetctl \
        ROOKNET_IMAGE=$PWD/target/dist/rooknet-image.tar \
        "${cargo_test[@]}" --no-fail-fast --test cluster -- --test-threads 1 --show-output || failed=1
    cat "$CLUSTER_DIR/case-times"
    return $failed
}

# What the tests start again and again.
programs=(bridge cat chmod dirname flock grep ip ln ls mkdir mount nft nsenter ping readlink rm sh sha512sum sleep tr unshare)

ring_vm() {
    local built name program command=
    # The library's tests are a program of the package's name, and so is the package's own.
    built=$("${cargo_test[@]}" --lib --test netns --test repair --test equality --no-run --message-format=json-render-diagnostics |
        jq --raw-output 'select(.executable != null)
            | "\(if .profile.test then .target.kind[0] else "program" end)/\(.target.name) \(.executable)"')
    # All in one virtual machine, each to its end whatever the former gave.
    for name in lib/rooknet test/netns test/repair test/equality; do
        program=$(sed -n "s:^$name ::p" <<<"$built")
        [[ -x $program ]] || fail "cargo built no $name"
        # A rename may have emptied one of them, and the others would hide it.
        "$program" --list --ignored vm:: | grep ': test$' >/dev/null || fail "$name has no test for the virtual machine"
        command+=$(printf '%q ' "$program" "${netns_options[@]}" --ignored vm::)" || failed=1; "
    done
    VM_PROGRAMS="$(sed 's/^[^ ]* //' <<<"$built") $(printf '%s ' "$ROOKNET_CNI_TOOLS"/*) ${programs[*]}" \
        ROOKNET_EQUALITY_THREADS=4 ./test-netns/vm.sh sh -c "failed=0; ${command}exit \$failed"
}

for ring in "$@"; do
    case $ring in
    process | netns | equality | kube | cluster | vm)
        [[ $EUID -eq 0 ]] || fail "the ring $ring makes network namespaces: run it as root"
        ROOKNET_CNI_TOOLS=${ROOKNET_CNI_TOOLS:-$(./test-netns/tools.sh)}
        export ROOKNET_CNI_TOOLS
        if [[ $ring == process ]]; then
            ROOKNET_CONTROL_PLANE=${ROOKNET_CONTROL_PLANE:-$(./test-kube/control-plane.sh)}
            export ROOKNET_CONTROL_PLANE
        fi
        ;;
    checks | unit) ;;
    *) fail "there is no ring $ring" ;;
    esac
    case $ring in
    process | kube)
        ROOKNET_CONTROL_PLANE=${ROOKNET_CONTROL_PLANE:-$(./test-kube/control-plane.sh)}
        export ROOKNET_CONTROL_PLANE
        ;;
    esac
    if [[ $ring == kube ]]; then
        ROOKNET_HELM=${ROOKNET_HELM:-$(./test-kube/helm.sh)}
        export ROOKNET_HELM
    fi
done

logs=target/rings
mkdir -p "$logs"
rows=()
all_passed=0
all_failed=0
for ring in "$@"; do
    echo
    echo "=== $ring"
    start=$EPOCHREALTIME
    status=0
    # Not `if ring_…`: that would switch `set -e` off inside.
    set +e
    (
        set -e
        "ring_$ring"
    ) 2>&1 | tee "$logs/$ring.log"
    status=${PIPESTATUS[0]}
    set -e
    seconds=$(awk -v from="$start" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }')

    read -r passed failed ignored < <(awk '/^test result: / {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) == "passed;") passed += $i
                if ($(i + 1) == "failed;") failed += $i
                if ($(i + 1) == "ignored;") ignored += $i
            }
        } END { print passed + 0, failed + 0, ignored + 0 }' "$logs/$ring.log")
    note=
    if [[ $status -ne 0 && $failed -eq 0 ]]; then
        failed=1
        note="  ended with status $status"
    elif [[ $ring != checks && $passed -eq 0 && $failed -eq 0 ]]; then
        # Never taken for success: a filter or a rename may have emptied the ring.
        failed=1
        note="  ran no test"
    elif [[ $ignored -gt 0 && ( $ring == unit || $ring == netns || $ring == equality ) ]]; then
        note="  $ignored are left to the virtual machine"
    fi
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    [[ $ring != checks ]] || passed=-
    rows+=("$(printf '%-8s %7s %7s %9s%s' "$ring" "$passed" "$failed" "$seconds" "$note")")
    echo "=== $ring took $seconds s"
done

echo
printf '%-8s %7s %7s %9s\n' ring passed failed seconds
printf '%s\n' "${rows[@]}"
echo
echo "$all_passed passed, $all_failed failed"
[[ $all_failed -eq 0 ]]
