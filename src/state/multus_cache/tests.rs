use std::fs;

use super::*;

/// A list of calico and portmap, and a macvlan, as Multus 4.3.0's own types write them.
const LIST: &str = "eyJjbmlWZXJzaW9uIjoiMC4zLjEiLCJuYW1lIjoiazhzLXBvZC1uZXR3b3JrIiwicGx1Z2lucyI6W3sidHlwZSI6ImNhbGljbyIsImt1YmVjb25maWciOiIvayIsImlwYW0iOnsidHlwZSI6ImNhbGljby1pcGFtIn19LHsidHlwZSI6InBvcnRtYXAiLCJjYXBhYmlsaXRpZXMiOnsicG9ydE1hcHBpbmdzIjp0cnVlfX1dfQ==";
const LIST_TEXT: &str = r#"{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{"type":"calico","kubeconfig":"/k","ipam":{"type":"calico-ipam"}},{"type":"portmap","capabilities":{"portMappings":true}}]}"#;
const MACVLAN: &str = "eyJjbmlWZXJzaW9uIjoiMC40LjAiLCJ0eXBlIjoibWFjdmxhbiIsIm1hc3RlciI6ImV0aDEiLCJjYXBhYmlsaXRpZXMiOnsiaXBzIjp0cnVlLCJtYWMiOnRydWV9LCJpcGFtIjp7InR5cGUiOiJob3N0LWxvY2FsIiwiYmlnIjoxODQ0Njc0NDA3MzcwOTU1MTYxNn0sIm5hbWUiOiJwdWJsaWMifQ==";
const MACVLAN_TEXT: &str = r#"{"cniVersion":"0.4.0","type":"macvlan","master":"eth1","capabilities":{"ips":true,"mac":true},"ipam":{"type":"host-local","big":18446744073709551616},"name":"public"}"#;

/// A scratch file as Multus writes it: the keys that are not read are there too.
fn scratch() -> String {
    format!(
        r#"[{{"Conf":{{"cniVersion":"0.3.1","ipam":{{}},"name":"k8s-pod-network"}},"ConfList":{{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{{"ipam":{{"type":"calico-ipam"}},"type":"calico"}},{{"capabilities":{{"portMappings":true}},"ipam":{{}},"type":"portmap"}}]}},"Name":"k8s-pod-network","IsFilterV4Gateway":false,"IsFilterV6Gateway":false,"Bytes":"{LIST}"}},{{"Conf":{{"capabilities":{{"ips":true,"mac":true}},"cniVersion":"0.4.0","ipam":{{"type":"host-local"}},"name":"public","type":"macvlan"}},"ConfList":{{}},"Name":"rook-ceph/public","macRequest":"02:00:00:00:00:01","ipRequest":["192.0.2.7/24"],"default-route":["192.0.2.1"],"IsFilterV4Gateway":false,"IsFilterV6Gateway":true,"Bytes":"{MACVLAN}"}},{{"Conf":{{"name":"public","type":"macvlan"}},"ConfList":{{}},"Name":"rook-ceph/cluster","ifnameRequest":"clu0","IsFilterV4Gateway":false,"IsFilterV6Gateway":false,"Bytes":"{MACVLAN}"}}]"#
    )
}

/// A cached result as libcni 1.3.0 writes it.
fn result(network: &str, container_id: &str, ifname: &str, config: &str) -> String {
    format!(
        r#"{{"kind":"cniCacheV1","containerId":"{container_id}","config":"{config}","ifName":"{ifname}","networkName":"{network}","netns":"/run/netns/x","cniArgs":[["IgnoreUnknown","true"],["K8S_POD_NAME","osd-0"],["IP","192.0.2.7/24"]],"capabilityArgs":{{"ips":["192.0.2.7/24"],"portMappings":[{{"hostPort":1,"containerPort":2}}]}},"result":{{"cniVersion":"0.4.0","dns":{{}},"interfaces":[{{"mac":"02:00:00:00:00:01","name":"{ifname}","sandbox":"/run/netns/x"}}]}}}}"#
    )
}

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rooknet-multus-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("results")).unwrap();
        Directory(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(path);
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self) -> Result<Option<Vec<CachedAttachment>>, Error> {
        read(&self.0, "abc123", "eth0")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn attachments_come_in_the_order_of_add_with_multus_interface_names() {
    let directory = Directory::new("order");
    directory.write("abc123", scratch());
    let found = directory.read().unwrap().unwrap();
    let seen: Vec<_> = found.iter().map(|a| (a.reference.as_str(), a.network.as_str(), a.ifname.as_str())).collect();
    let expected = [
        ("k8s-pod-network", "k8s-pod-network", "eth0"),
        ("rook-ceph/public", "public", "net1"),
        ("rook-ceph/cluster", "public", "clu0"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(found.iter().map(|a| a.is_default).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!([found[0].config.as_str(), found[1].config.as_str()], [LIST_TEXT, MACVLAN_TEXT], "byte for byte");
}

#[test]
fn without_a_cached_result_the_scratch_files_requests_are_the_capability_arguments() {
    let directory = Directory::new("requests");
    directory.write("abc123", scratch());
    let found = directory.read().unwrap().unwrap();
    let expected = r#"{"ips":["192.0.2.7/24"],"mac":"02:00:00:00:00:01"}"#;
    assert_eq!(found[1].runtime_config.to_raw().unwrap().get(), expected);
    assert!(found[0].runtime_config.is_empty());
    assert!(found.iter().all(|a| a.args.is_none() && a.result.is_none() && a.result_file.is_none()));
}

#[test]
fn a_cached_result_gives_the_arguments_and_the_previous_result() {
    let directory = Directory::new("results");
    directory.write("abc123", scratch());
    let path = directory.write("results/public-abc123-net1", result("public", "abc123", "net1", MACVLAN));
    let found = directory.read().unwrap().unwrap();
    assert_eq!(found[1].args.as_deref(), Some("IgnoreUnknown=true;K8S_POD_NAME=osd-0;IP=192.0.2.7/24"));
    let expected = r#"{"ips":["192.0.2.7/24"],"portMappings":[{"hostPort":1,"containerPort":2}]}"#;
    assert_eq!(found[1].runtime_config.to_raw().unwrap().get(), expected);
    assert!(found[1].result.as_ref().unwrap().get().starts_with(r#"{"cniVersion":"0.4.0","dns":{},"interfaces":"#));
    assert_eq!(found[1].result_file.as_deref(), Some(path.as_path()));
}

#[test]
fn a_bare_result_of_an_old_libcni_is_the_previous_result() {
    let directory = Directory::new("legacy");
    directory.write("abc123", scratch());
    directory.write("results/public-abc123-net1", r#"{"cniVersion":"0.3.1","ips":[]}"#);
    let found = directory.read().unwrap().unwrap();
    assert_eq!(found[1].result.as_ref().unwrap().get(), r#"{"cniVersion":"0.3.1","ips":[]}"#);
    assert!(found[1].args.is_none() && !found[1].runtime_config.is_empty(), "the rest comes from the scratch file");
}

#[test]
fn a_list_that_multus_kept_with_known_keys_only_is_taken_from_libcnis_whole_copy() {
    let directory = Directory::new("lossy");
    // {"name":"k8s-pod-network","plugins":[{"type":"calico"},{"type":"portmap"}]}, and the same with a third plugin.
    let lossy = "eyJuYW1lIjoiazhzLXBvZC1uZXR3b3JrIiwicGx1Z2lucyI6W3sidHlwZSI6ImNhbGljbyJ9LHsidHlwZSI6InBvcnRtYXAifV19";
    let more = "eyJuYW1lIjoiazhzLXBvZC1uZXR3b3JrIiwicGx1Z2lucyI6W3sidHlwZSI6ImNhbGljbyJ9LHsidHlwZSI6InBvcnRtYXAifSx7InR5cGUiOiJ0dW5pbmcifV19";
    directory.write("results/k8s-pod-network-abc123-eth0", result("k8s-pod-network", "abc123", "eth0", LIST));
    directory.write("abc123", scratch().replace(LIST, lossy));
    assert_eq!(directory.read().unwrap().unwrap()[0].config, LIST_TEXT);
    directory.write("abc123", scratch().replace(LIST, more));
    assert!(
        directory.read().unwrap().unwrap()[0].config.contains("tuning"),
        "loaded from a directory: libcni lacks it"
    );
}

#[test]
fn a_container_that_multus_does_not_know_has_no_cache() {
    let directory = Directory::new("unknown");
    assert!(directory.read().unwrap().is_none());
    directory.write("results/public-abc1234-net1", result("public", "abc1234", "net1", MACVLAN));
    directory.write("results/public-x-abc123-net1", result("public", "x-abc123", "net1", MACVLAN));
    assert!(directory.read().unwrap().is_none(), "other containers' results");
    assert!(read(&directory.0.join("absent"), "abc123", "eth0").unwrap().is_none());
}

#[test]
fn results_that_a_failed_del_left_are_found_without_a_scratch_file() {
    let directory = Directory::new("orphans");
    directory.write("results/public-abc123-net1", result("public", "abc123", "net1", MACVLAN));
    std::thread::sleep(std::time::Duration::from_millis(20));
    directory.write("results/k8s-pod-network-abc123-eth0", result("k8s-pod-network", "abc123", "eth0", LIST));
    directory.write("results/broken-abc123-net2", "{");
    let found = directory.read().unwrap().unwrap();
    let seen: Vec<_> = found.iter().map(|a| (a.ifname.as_str(), a.is_default, a.config.as_str())).collect();
    assert_eq!(seen, [("eth0", true, LIST_TEXT), ("net1", false, MACVLAN_TEXT)]);
    remove(&directory.0, "abc123", &found).unwrap();
    assert!(directory.read().unwrap().is_none());
}

#[test]
fn a_corrupt_scratch_file_is_an_error_that_names_it() {
    let directory = Directory::new("corrupt");
    let without_name = "eyJ0eXBlIjoieCJ9"; // {"type":"x"}
    let cases = [
        String::new(),
        "null".into(),
        "[]".into(),
        "[null]".into(),
        "{}".into(),
        "[{}]".into(),
        scratch().chars().take(200).collect(),
        r#"[{"Bytes":null}]"#.into(),
        r#"[{"Bytes":"e30"}]"#.into(),
        r#"[{"Bytes":"/////w=="}]"#.into(),
        format!(r#"[{{"Bytes":"{without_name}"}}]"#),
        format!(r#"[{{"Bytes":"{MACVLAN}","ifnameRequest":"../x"}}]"#),
        format!(r#"[{{"Bytes":"{MACVLAN}","ifnameRequest":3}}]"#),
        format!("[{}]", vec!["{}"; MAX_DELEGATES + 1].join(",")),
    ];
    for case in cases {
        let path = directory.write("abc123", &case);
        let error = directory.read().unwrap_err();
        assert_eq!(error.code.0, 6, "{case}");
        assert!(error.message.contains(path.to_str().unwrap()), "{case}: {error}");
    }
    directory.write("abc123", [0xff, 0xfe]);
    assert_eq!(directory.read().unwrap_err().code.0, 6);
}

#[test]
fn a_corrupt_result_does_not_hold_a_delete_back() {
    let directory = Directory::new("corrupt-result");
    directory.write("abc123", scratch());
    let wrong_container = result("public", "other", "net1", MACVLAN);
    for content in ["", "{", "[]", r#"{"kind":"x"}"#, r#"{"kind":"cniCacheV1","config":"!"}"#, &wrong_container] {
        let path = directory.write("results/public-abc123-net1", content);
        let found = directory.read().unwrap().unwrap();
        assert!(found[1].result.is_none(), "{content}");
        assert_eq!(found[1].config, MACVLAN_TEXT);
        assert_eq!(found[1].result_file.as_deref(), Some(path.as_path()), "removed with the rest");
    }
}

#[test]
fn removal_takes_results_and_scratch_file_and_may_be_repeated() {
    let directory = Directory::new("remove");
    directory.write("abc123", scratch());
    directory.write("results/public-abc123-net1", result("public", "abc123", "net1", MACVLAN));
    let other = directory.write("results/public-other-net1", result("public", "other", "net1", MACVLAN));
    let found = directory.read().unwrap().unwrap();
    for _ in 0..2 {
        remove(&directory.0, "abc123", &found).unwrap();
        let left: Vec<_> = fs::read_dir(directory.0.join("results")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, std::slice::from_ref(&other));
        assert!(!directory.0.join("abc123").exists());
    }
}

#[test]
fn a_container_id_that_is_a_path_is_refused() {
    let directory = Directory::new("path");
    for id in ["../x", "a/b", "", "."] {
        assert!(read(&directory.0, id, "eth0").is_err(), "{id}");
        assert!(remove(&directory.0, id, &[]).is_err(), "{id}");
    }
}
