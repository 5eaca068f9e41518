#!/usr/bin/env bash
# vm.sh COMMAND [ARGUMENT…]: runs COMMAND on this machine's own files under Debian's kernel, in a virtual machine, and
# ends with its exit status. For kernel modules (ipvlan, 8021q) that the running kernel lacks.
#
# All directories are the machine's; what is written stays in the virtual machine's memory and is gone at its end.
# PATH, HOME and the variables whose names begin with ROOKNET_, RUST or CARGO are passed on.
#
# VM_TIMEOUT (900): seconds after which it is given up. VM_MEMORY (1G). VM_PROGRAMS: names and paths, separated by
# blanks, of programs that the command starts often: they and their libraries are read into the virtual machine's memory
# once. From the machine's files, which are not cached there, each start takes five times as long.
set -euo pipefail
source "$(dirname "$0")/machine.sh"

virtme_version=1.42

[[ $# -gt 0 ]] || fail "which command?"
[[ $(uname -m) == x86_64 ]] || fail "the virtual machine is made for x86_64 only; SKIP_VM=1 leaves its tests out"

# The newest Debian kernel that has its modules; the cloud flavour and others are not meant.
newest_kernel() {
    local image
    for image in $(printf '%s\n' /boot/vmlinuz-*-amd64 | sort --version-sort --reverse); do
        if [[ $image =~ vmlinuz-([0-9.]+-[0-9]+-amd64)$ && -d /lib/modules/${BASH_REMATCH[1]}/kernel ]]; then
            echo "$image"
            return
        fi
    done
    return 1
}

# busybox is for the initramfs, python3-venv for virtme-ng below.
need_programs qemu-system-x86_64=qemu-system-x86 modprobe=kmod busybox=busybox-static jq=jq flock=util-linux
python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv || fail "install Python 3 with its venv module"
kernel=$(newest_kernel) || { install_packages linux-image-amd64 && kernel=$(newest_kernel); } ||
    fail "install a Debian kernel (package linux-image-amd64)"

virtme=$cache/virtme-ng-$virtme_version
lock_cache
if [[ ! -e $virtme/complete ]]; then
    # A virtual environment cannot be moved, so a mark says that it is whole.
    rm -rf "$virtme"
    python3 -m venv "$virtme"
    "$virtme/bin/pip" --quiet --disable-pip-version-check install "virtme-ng==$virtme_version" ||
        fail "virtme-ng $virtme_version cannot be installed from the Python package index"
    touch "$virtme/complete"
fi
exec 9>&-

# Absolute paths without links: what is read into memory, and where it lies.
often=()
top_directories=()
overlay_for() {
    local top
    top=/$(cut -d/ -f2 <<<"$1")
    case $top in
    # virtme-ng puts overlays on these itself.
    /etc | /home | /lib | /opt | /srv | /tmp | /usr | /var) ;;
    *) top_directories+=("$top") ;;
    esac
}
for program in ${VM_PROGRAMS-}; do
    program=$(realpath "$(command -v "$program")") || fail "VM_PROGRAMS: there is no program ${program:-of that name}"
    # A static program has none.
    mapfile -t libraries < <(ldd "$program" 2>/dev/null | grep --only-matching '/[^ ]*' | xargs --no-run-if-empty realpath)
    often+=("$program" "${libraries[@]}")
done
for path in "$PWD" "${often[@]}"; do
    overlay_for "$path"
done

work=$(mktemp -d /tmp/rooknet-vm.XXXXXX)
virtual_machine=
# shellcheck disable=SC2329
clean_up() {
    # A process group of its own: `timeout` makes one.
    [[ -z $virtual_machine ]] || kill -KILL -- "-$virtual_machine" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The status comes back as the last line of the output, under a name that no test prints: it cannot be mistaken, and
# its absence shows that the machine died. virtme-ng's own exit status must agree.
token=rooknet-vm-status-$$-$RANDOM
{
    echo '#!/bin/bash'
    for name in PATH HOME "${!ROOKNET_@}" "${!RUST@}" "${!CARGO@}"; do
        [[ -z ${!name-} ]] || printf 'export %s=%q\n' "$name" "${!name}"
    done
    printf 'cd %q || exit\n' "$PWD"
    if [[ ${#often[@]} -gt 0 ]]; then
        # On an overlay, a changed time makes a copy in the upper layer, which is in memory.
        printf '%s\n' "${often[@]}" | sort --unique | xargs printf '%q ' | sed 's/^/touch --no-create -- /'
        echo
    fi
    echo 'for module in bridge dummy ipvlan macvlan nf_tables overlay veth 8021q; do'
    # shellcheck disable=SC2016
    echo '    modprobe "$module" || { echo "the virtual machine has no $module" >&2; exit 1; }'
    echo 'done'
    printf '%q ' "$@"
    echo '</dev/null'
    # shellcheck disable=SC2016
    printf 'status=$?\necho\necho %s $status\nexit $status\n' "$token"
} >"$work/command"
chmod 755 "$work/command"

# The root file system is read-only there, except that virtme-ng puts overlays in memory on these directories. The
# present directory must be writable too. (`--rw` is no way out: it creates and empties files in the real /etc.)
arguments=(--run "$kernel" --disable-kvm --cpus 2 --memory "${VM_MEMORY:-1G}")
while IFS= read -r top; do
    [[ -z $top ]] || arguments+=(--overlay-rwdir="$top")
done < <(printf '%s\n' "${top_directories[@]}" | sort --unique)

# Through a pipe, since into a file the machine's console would write from the file's start.
mkfifo "$work/output"
PATH=$virtme/bin:$PATH timeout --kill-after=5 "${VM_TIMEOUT:-900}" \
    "$virtme/bin/vng" "${arguments[@]}" -- "$work/command" </dev/null >"$work/output" 2>&1 &
virtual_machine=$!

status=
while IFS= read -r line || [[ -n $line ]]; do
    line=${line%$'\r'}
    if [[ $line == "$token "* ]]; then
        status=${line#"$token "}
    else
        printf '%s\n' "$line"
    fi
done <"$work/output"

ended=0
wait "$virtual_machine" || ended=$?
virtual_machine=
[[ -n $status ]] || fail "the virtual machine ended (status $ended) before the command did"
[[ $ended -eq $status ]] || fail "the command ended with $status, but virtme-ng with $ended"
exit "$status"
