# shellcheck shell=bash
# Images without a registry: sourced by cluster.sh. Both of ours are the static busybox and nothing else.

# Without a registry's host, as in a pod: containerd completes the name by its own rules when it reads an archive of
# this form, and when the kubelet asks for an image.
pause_image=rooknet-test/pause:1
test_image=rooknet-test/busybox:1

make_images() {
    local layer=$directory/images/layer applet
    mkdir -p "$layer"/{bin,etc,proc,sys,dev,tmp,root,run}
    cp "$(readlink -f "$(command -v busybox)")" "$layer/bin/busybox"
    for applet in $(busybox --list); do
        [[ $applet == busybox ]] || ln -s busybox "$layer/bin/$applet"
    done
    echo root:x:0:0:root:/root:/bin/sh >"$layer/etc/passwd"
    echo root:x:0: >"$layer/etc/group"
    tar --create --file "$directory/images/layer.tar" --directory "$layer" --owner 0 --group 0 --sort name .
    rm -r "$layer"
    # Its first process ignores every signal that it does not handle, and containerd kills it without asking.
    make_image pause "$pause_image" '["/bin/sleep", "2147483647"]'
    make_image busybox "$test_image" '["/bin/sh"]'
}

# make_image NAME REFERENCE COMMAND
make_image() {
    local at=$directory/images
    jq --null-input --arg layer "$(sha256sum <"$at/layer.tar" | cut -c 1-64)" --argjson command "$3" \
        --arg architecture "$(go_architecture)" '{
            architecture: $architecture, os: "linux",
            config: {Cmd: $command, Env: ["PATH=/bin"], WorkingDir: "/"},
            rootfs: {type: "layers", diff_ids: ["sha256:\($layer)"]}
        }' >"$at/config.json"
    jq --null-input --arg reference "$2" '[{Config: "config.json", RepoTags: [$reference], Layers: ["layer.tar"]}]' \
        >"$at/manifest.json"
    tar --create --file "$at/$1.tar" --directory "$at" manifest.json config.json layer.tar
}

go_architecture() {
    case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
    esac
}

import_own_images() {
    local node image
    for node in "${nodes[@]}"; do
        for image in pause busybox; do
            import "$directory/images/$image.tar" "$node" 8<&- &
        done
    done
    wait_for_jobs
}

# import IMAGE.tar NODE
import() {
    [[ -r $1 ]] || fail "there is no image at $1"
    local said
    said=$( (on "$2" ctr --namespace k8s.io images import -) <"$1" 2>&1) ||
        fail "containerd of $2 does not take the image $1: $(tail -n 3 <<<"$said")"
    wait_until "the kubelet's view of the image on $2" are_images_known "$2"
}

# containerd's CRI service learns of images by events, and then labels them.
are_images_known() {
    (on "$1" ctr --namespace k8s.io images list 2>/dev/null) |
        awk 'NR > 1 && !/io.cri-containerd.image=managed/ { exit 1 }'
}
