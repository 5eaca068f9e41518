# shellcheck shell=bash
# The control plane, all in the namespace `control`, and the one socket by which the machine reaches it: sourced by
# cluster.sh.

api_url=https://$control_address
control=$directory/control

start_control_plane() {
    make_certificates
    make_tokens
    write_kubeconfig "$control/kubeconfig" admin "$api_url"
    in_control_group etcd "$tools/etcd" --data-dir "$control/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    cat >"$control/audit-policy.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata}]
YAML
    start_api
    start_forwarder
    in_control_group kube-controller-manager "$tools/kube-controller-manager" --kubeconfig "$control/kubeconfig" \
        --leader-elect=false --root-ca-file "$control/ca.crt" \
        --service-account-private-key-file "$control/service-accounts.key" --bind-address 127.0.0.1 \
        --cert-dir "$control"
    in_control_group kube-scheduler "$tools/kube-scheduler" --kubeconfig "$control/kubeconfig" \
        --authentication-kubeconfig "$control/kubeconfig" --authorization-kubeconfig "$control/kubeconfig" \
        --leader-elect=false --bind-address 127.0.0.1 --cert-dir "$control"
}

# in_control_group NAME COMMAND…: starts a daemon in the control plane's namespace.
in_control_group() {
    local name=$1
    shift
    start_daemon "control/$name" nsenter --net="/run/netns/$(netns control)" -- "$@"
}

start_api() {
    in_control_group kube-apiserver "$tools_in_directory/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
        --secure-port 443 --advertise-address "$control_address" --service-cluster-ip-range 10.96.0.0/16 \
        --tls-cert-file "$control/server.crt" --tls-private-key-file "$control/server.key" --cert-dir "$control" \
        --client-ca-file "$control/ca.crt" --token-auth-file "$control/tokens.csv" \
        --kubelet-client-certificate "$control/kubelet-client.crt" --kubelet-client-key "$control/kubelet-client.key" \
        --kubelet-preferred-address-types InternalIP \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$control/service-accounts.key" \
        --service-account-signing-key-file "$control/service-accounts.key" \
        --audit-policy-file "$control/audit-policy.yaml" --audit-log-path "$directory/audit.log" \
        --audit-log-maxsize 4096
    wait_until "the API server to be ready" is_api_ready
}

is_api_ready() {
    need_running control/kube-apiserver
    is_quiet in_control curl --silent --fail --max-time 5 --cacert "$control/ca.crt" "$api_url/readyz"
}

# Killed, since a graceful end goes on to answer for a while.
stop_api() {
    stop_daemon control/kube-apiserver
}

# api_get PATH: what the API server has there, as the administrator sees it. kubectl takes ten times as long.
api_get() {
    in_control curl --silent --fail --max-time 5 --cacert "$control/ca.crt" --config "$control/admin.curl" "$api_url$1"
}

kubectl() {
    "$tools_in_directory/kubectl" --kubeconfig "$directory/kubeconfig" "$@"
}

# From the machine to the namespace: a socket in the file system knows no network namespaces. Relative, since its path
# must be short.
start_forwarder() {
    local port=$((20000 + 16#${id:0:3}))
    in_control_group forwarder-inside env --chdir "$control" \
        socat UNIX-LISTEN:api.sock,fork,mode=600 "TCP:$control_address:443"
    wait_until "the forwarder's socket" test -S "$control/api.sock"
    while true; do
        start_daemon control/forwarder env --chdir "$control" \
            socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" UNIX-CONNECT:api.sock
        wait_until "the forwarder" forwards_or_ended "$port"
        ! is_running control/forwarder || break
        # The port is somebody else's.
        port=$((port + 1))
    done
    echo "$port" >"$directory/port"
    write_kubeconfig "$directory/kubeconfig" admin "https://127.0.0.1:$port"
}

# Answered with our certificate: otherwise it would be somebody else's port.
forwards_or_ended() {
    is_stopped control/forwarder ||
        is_quiet curl --silent --max-time 5 --cacert "$control/ca.crt" "https://127.0.0.1:$1/readyz"
}

make_certificates() {
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650)
    (
        cd "$control"
        umask 077
        openssl req -x509 "${key[@]}" -keyout ca.key -out ca.crt -subj "/CN=rooknet-test-$id"
        openssl req -x509 "${key[@]}" -CA ca.crt -CAkey ca.key -keyout server.key -out server.crt \
            -subj /CN=kube-apiserver -addext basicConstraints=CA:FALSE -addext \
            "subjectAltName=IP:127.0.0.1,IP:$control_address,IP:$service_address,DNS:kubernetes.default.svc"
        openssl req -x509 "${key[@]}" -CA ca.crt -CAkey ca.key -keyout kubelet-client.key -out kubelet-client.crt \
            -subj /O=system:masters/CN=kube-apiserver-kubelet-client -addext basicConstraints=CA:FALSE \
            -addext extendedKeyUsage=clientAuth
        openssl ecparam -genkey -name prime256v1 -noout -out service-accounts.key
    ) 2>"$directory/log/certificates.log" || fail "openssl failed: $(tail -n 3 "$directory/log/certificates.log")"
}

# Users by token: the administrator and the kubelets.
make_tokens() {
    local user token
    (
        umask 077
        for user in admin "${nodes[@]}"; do
            token=$(openssl rand -hex 16)
            echo "$token" >"$control/$user.token"
            case $user in
            admin) echo "$token,admin,admin,system:masters" ;;
            *) echo "$token,system:node:$user,$user,system:nodes" ;;
            esac
        done >"$control/tokens.csv"
        echo "header = \"Authorization: Bearer $(<"$control/admin.token")\"" >"$control/admin.curl"
    )
}

# write_kubeconfig FILE USER SERVER
write_kubeconfig() {
    (
        umask 077
        cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: rooknet-test
contexts: [{name: rooknet-test, context: {cluster: rooknet-test, user: $2}}]
users: [{name: $2, user: {token: "$(<"$control/$2.token")"}}]
clusters:
  - name: rooknet-test
    cluster:
      server: $3
      certificate-authority-data: $(base64 --wrap 0 "$control/ca.crt")
YAML
    )
}
