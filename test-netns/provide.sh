# shellcheck shell=sh
# What a node's mount namespace needs before directories can be mounted in it: run before a script that makes one, as one
# text with it, since the tests pass such a script as text.

# A directory at $1. Where the machine has none, it must not get one either: the nearest parent is then covered by an
# overlay whose changes go to the node's /run.
provide() {
    [ ! -d "$1" ] || return 0
    parent=$(dirname "$1")
    while [ ! -d "$parent" ]; do
        parent=$(dirname "$parent")
    done
    upper=/run/.overlay/$(echo "$parent" | tr / _)
    if [ ! -d "$upper" ]; then
        mkdir -p "$upper/upper" "$upper/work"
        mount -t overlay -o "lowerdir=$parent,upperdir=$upper/upper,workdir=$upper/work" overlay "$parent" || {
            echo "node: no overlay over $parent is possible, so $1 cannot be made private:" \
                "create $1 or load the overlay module" >&2
            exit 1
        }
    fi
    mkdir -p "$1"
}
