#!/usr/bin/env bash
# Checks that each crate in the dependency tree, tests' ones included, may be used under a licence of this list.
set -euo pipefail
source "$(dirname "$0")/machine.sh"
cd "$(dirname "$0")/.."

allowed="0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 ISC MIT MIT-0 Unicode-3.0 Unicode-DFS-2016 Unlicense Zlib"

# Whether an SPDX expression can be met, by turning it into one of bash's arithmetic: an allowed licence is 1, another
# 0. An exception (WITH) only adds permissions. `/` is the former way to write OR.
may_be_used() {
    local expression=() words word
    read -ra words < <(sed -E 's/ WITH [A-Za-z0-9.-]+//g; s/[()]/ & /g; s:/: OR :g' <<<"$1")
    for word in "${words[@]}"; do
        case $word in
        OR) expression+=("||") ;;
        AND) expression+=("&&") ;;
        "(" | ")") expression+=("$word") ;;
        *) [[ " $allowed " == *" $word "* ]] && expression+=(1) || expression+=(0) ;;
        esac
    done
    # A malformed expression is a syntax error there, and so not allowed.
    ((${expression[*]:-0})) 2>/dev/null
}

count=0
refused=0
tree=$(cargo metadata --locked --format-version 1 |
    jq --raw-output '.workspace_members as $own | .packages[] | select(.id | IN($own[]) | not)
        | "\(.name) \(.version)\t\(.license // "no licence")"')
while IFS=$'\t' read -r crate licence; do
    [[ -n $crate ]] || continue
    count=$((count + 1))
    if ! may_be_used "$licence"; then
        echo "$crate: $licence is not among the allowed licences" >&2
        refused=$((refused + 1))
    fi
done <<<"$tree"

[[ $refused -eq 0 ]] || fail "$refused of $count crates may not be used; the list of licences is in this script"
echo "$count crates, all under allowed licences"
