# shellcheck shell=bash
# What the scripts here need of the machine: sourced, not run.

# Numbers with a point and sorting by bytes, whatever the user's language is.
export LC_ALL=C.UTF-8

# Ends the script with one sentence.
fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Things that are fetched once a machine and not once a build live here, so that `make clean` keeps them.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rooknet

# need_programs PROGRAM=PACKAGE…: installs the Debian packages of the programs that are not there.
need_programs() {
    local pair packages=() programs=()
    for pair in "$@"; do
        if ! command -v "${pair%%=*}" >/dev/null; then
            programs+=("${pair%%=*}")
            packages+=("${pair#*=}")
        fi
    done
    if [[ ${#packages[@]} -gt 0 ]]; then
        install_packages "${packages[@]}" || fail "install what provides: ${programs[*]}"
    fi
}

# Installs Debian packages, with fresh lists only when the present ones do not do.
install_packages() {
    command -v apt-get >/dev/null && [[ $EUID -eq 0 ]] || return 1
    echo "installing $*" >&2
    local install=(apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "$@")
    export DEBIAN_FRONTEND=noninteractive
    "${install[@]}" >/dev/null 2>&1 || { apt-get update >/dev/null && "${install[@]}" >/dev/null; }
}

# Two runs at once (a second terminal, a second checkout) must not install the same things over each other.
lock_cache() {
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
}
