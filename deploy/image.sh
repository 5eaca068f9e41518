#!/usr/bin/env bash
# image.sh [ROOKNET [ROOKNETCTL [IMAGE [FILE]]]]: writes an OCI image, a tar archive of the image layout, of these two
# programs: by default of those in target/dist, under the name localhost/rooknet:VERSION, to
# target/dist/rooknet-image.tar. No container engine is needed, and the same programs give the same bytes.
#
# It is made from scratch: nothing but the two programs, and /var/run as the link that it is on nodes, since runtimes
# name network namespaces below it.
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
source "$root/test-netns/machine.sh"
need_programs jq=jq tar=tar gzip=gzip sha256sum=coreutils

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
declare -A programs=([rooknet]=${1:-$root/target/dist/rooknet} [rooknetctl]=${2:-$root/target/dist/rooknetctl})
image=${3:-localhost/rooknet:$version}
output=${4:-$root/target/dist/rooknet-image.tar}
case $(uname -m) in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) fail "rooknet is built for x86_64 and aarch64, and this machine is $(uname -m)" ;;
esac

# Archives in which nothing depends on who makes them, when, where, and in which order the file system lists.
archive() {
    tar --create --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        --directory "$1" "${@:2}"
}

work=$(mktemp -d)
new=
trap 'rm -rf "$work" "$new"' EXIT

mkdir -p "$work/layer/run" "$work/layer/var" "$work/layout/blobs/sha256"
for program in rooknet rooknetctl; do
    [[ -f ${programs[$program]} ]] || fail "${programs[$program]} is missing: run make build first"
    install -m 0755 "${programs[$program]}" "$work/layer/$program"
done
ln -s ../run "$work/layer/var/run"

# blob FILE: moves it to its place; prints its digest and size as JSON.
blob() {
    local digest size
    digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
    size=$(stat --format=%s "$1")
    mv "$1" "$work/layout/blobs/sha256/$digest"
    jq --null-input --compact-output --arg digest "sha256:$digest" --argjson size "$size" '{$digest, $size}'
}

archive "$work/layer" rooknet rooknetctl run var >"$work/layer.tar"
content=sha256:$(sha256sum <"$work/layer.tar" | cut -d ' ' -f 1)
# Without name and time.
gzip -9 --no-name "$work/layer.tar"
layer=$(blob "$work/layer.tar.gz")

jq --null-input --compact-output --arg architecture "$architecture" --arg content "$content" --arg version "$version" '{
    $architecture, os: "linux",
    config: {
        Entrypoint: ["/rooknetctl"],
        Labels: {
            "org.opencontainers.image.title": "rooknet",
            "org.opencontainers.image.version": $version,
            "org.opencontainers.image.licenses": "Apache-2.0"
        }
    },
    rootfs: {type: "layers", diff_ids: [$content]}
}' >"$work/config"
config=$(blob "$work/config")

jq --null-input --compact-output --argjson config "$config" --argjson layer "$layer" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: ({mediaType: "application/vnd.oci.image.config.v1+json"} + $config),
    layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip"} + $layer]
}' >"$work/manifest"
manifest=$(blob "$work/manifest")

# containerd takes the first name, other programs the second.
jq --null-input --compact-output --argjson manifest "$manifest" --arg architecture "$architecture" \
    --arg image "$image" --arg tag "${image##*:}" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json"} + $manifest + {
        platform: {$architecture, os: "linux"},
        annotations: {"io.containerd.image.name": $image, "org.opencontainers.image.ref.name": $tag}
    }]
}' >"$work/layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}\n' >"$work/layout/oci-layout"

mkdir -p "$(dirname "$output")"
new=$(mktemp "$output.XXXXXX")
archive "$work/layout" blobs index.json oci-layout >"$new"
chmod 0644 "$new"
mv -f "$new" "$output"
echo "$output: $(stat --format=%s "$output") bytes, $image, $(jq --raw-output .digest <<<"$manifest")"
