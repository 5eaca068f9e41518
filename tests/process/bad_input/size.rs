//! Too much of everything, in little memory.
//!
//! Every call here runs with a bound on its address space: what grows with the input beyond a small factor dies, and
//! that is no error object.

use serde_json::json;

use crate::fixture::{Fixture, NETWORKS, Refusal};

/// Of address space, in MB: the program, its libraries and its stack take about 12 of it.
const MEMORY: u32 = 48;
/// Bytes that stdin may have.
const MAX_INPUT: usize = 4 * 1024 * 1024;

#[test]
fn stdin_has_4_mib_at_most() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        let call = fixture.call(command, &fixture.chained(), &pod).memory(MEMORY);
        for size in [MAX_INPUT + 1, 20_000_000] {
            fixture.refused(
                "long",
                &call.clone().input(vec![b' '; size]),
                6,
                &["on stdin is longer than 4194304 bytes"],
            );
        }
    }
    // What fits is read.
    let mut text = fixture.chained().to_string();
    text.push_str(&" ".repeat(MAX_INPUT - text.len()));
    let call = fixture.call("ADD", &fixture.chained(), &pod).memory(MEMORY).env("CNI_ARGS", "").input(text);
    call.run(&fixture.node).expect_success("ADD");
    fixture.assert_clean();
}

#[test]
fn an_endless_stdin_is_not_read_to_its_end() {
    let fixture = Fixture::start();
    let script = "yes '{' | prlimit --as=48000000 /opt/cni/bin/rooknet";
    let mut command = fixture.node.command("sh");
    let variables = [("COMMAND", "ADD"), ("CONTAINERID", "a"), ("NETNS", "/x"), ("IFNAME", "eth0"), ("PATH", "/opt")];
    command.args(["-c", script]).envs(variables.map(|(name, value)| (format!("CNI_{name}"), value)));
    let outcome = crate::support::run(command, b"");
    Refusal::of("endless", &outcome).expect("endless", 6, &["longer than 4194304 bytes"]);
}

/// A configuration of almost 4 MiB: `open`, then `unit` as often as there is room, then `close`.
fn filled(open: &str, unit: &str, close: &str) -> String {
    let head = format!(r#"{{"cniVersion":"1.1.0","name":"k8s-pods","type":"rooknet",{open}"#);
    let room = MAX_INPUT - head.len() - close.len() - 1;
    format!("{head}{}{close}}}", unit.repeat(room / unit.len()))
}

#[test]
fn deep_nesting_is_refused_or_passed_over_without_a_deep_stack() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let half = 300_000;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(half), close.repeat(half));
    let texts = [
        (deep("[", "]"), 6),
        ("[".repeat(MAX_INPUT), 6),
        ("{\"a\":".repeat(MAX_INPUT / 5), 6),
        (filled("\"runtimeConfig\":", "[", ""), 6),
        (format!(r#"{{"cniVersion":"1.1.0","name":"x","runtimeConfig":{}}}"#, deep("[", "]")), 7),
        (format!(r#"{{"cniVersion":"1.1.0","name":"x","delegates":{}}}"#, deep("[", "]")), 6),
        (format!(r#"{{"cniVersion":"1.1.0","name":"x","deadline":{}}}"#, deep("[", "]")), 7),
        (format!(r#"{{"cniVersion":"1.1.0","name":"x","prevResult":{}}}"#, deep("[", "]")), 6),
        (format!(r#"{{"cniVersion":"1.1.0","name":"x","unknown":{}}}"#, deep("[", "]")), 7),
        (
            format!(
                r#"{{"cniVersion":"1.1.0","name":"x","prevResult":{{"cniVersion":"1.1.0","ips":{}}}}}"#,
                deep("[", "]")
            ),
            6,
        ),
    ];
    for (text, code) in texts {
        let what: String = text.chars().take(80).collect();
        let call = fixture.call("ADD", &fixture.chained(), &pod).memory(MEMORY).env("CNI_ARGS", "").input(text);
        fixture.refused(&what, &call, code, &[]);
    }
}

#[test]
fn huge_lists_are_refused_in_little_memory() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let rows = [
        (filled("\"delegates\":[0", ",0", "]"), 7, "delegates"),
        (filled("\"delegates\":[{}", ",{}", "]"), 7, "delegates"),
        (filled("\"defaultNetworks\":[\"\"", ",\"\"", "]"), 7, "defaultNetworks"),
        (filled("\"systemNamespaces\":[\"\"", ",\"\"", "]"), 7, "systemNamespaces"),
        (filled("\"allowedPlugins\":[\"\"", ",\"\"", "]"), 7, "allowedPlugins"),
        (filled("\"globalNamespaces\":\"a", ",a", "\""), 7, "globalNamespaces"),
        (filled("\"prevResult\":{\"ips\":[0", ",0", "]}"), 6, "ips"),
        (filled("\"prevResult\":{\"x\":0", ",\"y\":0", "}"), 6, "keys in one object"),
        (filled("\"runtimeConfig\":{\"x\":0", ",\"y\":0", "}"), 7, "keys in one object"),
        (filled("\"logOptions\":{\"x\":0", ",\"y\":0", "}"), 7, "keys in one object"),
        (filled("\"x\":0", ",\"y\":0", ""), 6, "keys in one object"),
    ];
    for (text, code, word) in rows {
        let what: String = text.chars().take(110).collect();
        let call = fixture.call("ADD", &fixture.chained(), &pod).memory(MEMORY).env("CNI_ARGS", "").input(text);
        fixture.refused(&what, &call, code, &[word]);
    }
    // A runtime with very many pods is no fault.
    let attachment = format!(r#",{{"containerID":"{}","ifname":"eth0"}}"#, "c".repeat(64));
    let list = filled(r#""cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}"#, &attachment, "]");
    let gc = fixture.call("GC", &fixture.chained(), &pod).memory(MEMORY).input(list);
    assert_eq!(gc.run(&fixture.node).expect_success("GC of 40,000 pods"), "");
}

#[test]
fn a_huge_annotation_or_definition_is_read_in_little_memory() {
    let fixture = Fixture::start();
    let selection = |text: &str| {
        let pod = fixture.pod("osd", Some(text));
        let call = fixture.call("ADD", &fixture.chained(), &pod).memory(MEMORY);
        fixture.refused(&text.chars().take(60).collect::<String>(), &call, 7, &["k8s.v1.cni.cncf.io/networks"]);
    };
    selection(&"x".repeat(1_000_000));
    selection(&"a,".repeat(131_072));
    selection(&format!("[{}]", vec!["{}"; 80_000].join(",")));
    selection(&format!(r#"[{{"name":"a"{}}}]"#, r#","k":0"#.repeat(40_000)));

    let pod = fixture.pod("osd", Some("public"));
    let call = fixture.call("ADD", &fixture.chained(), &pod).memory(MEMORY);
    let inner = format!(r#"{{"name":"x","plugins":[{}0]}}"#, "0,".repeat(500_000));
    fixture.node.write(
        &format!("{NETWORKS}/rook-ceph/public.json"),
        json!({"metadata": {}, "spec": {"config": inner}}).to_string(),
    );
    fixture.refused("plugins", &call, 7, &["public.json", "plugins"]);
    let inner = format!(
        r#"{{"name":"x","type":"stub","delegate":{}{}}}"#,
        r#"{"delegate":"#.repeat(9),
        "{}".to_owned() + &"}".repeat(9)
    );
    fixture.node.write(
        &format!("{NETWORKS}/rook-ceph/public.json"),
        json!({"metadata": {}, "spec": {"config": inner}}).to_string(),
    );
    fixture.refused("delegates", &call, 7, &["rook-ceph/public", "nested too deep"]);
}

#[test]
fn a_delegates_flood_is_ended_and_undone() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", Some("public"));
    fixture.define("rook-ceph", "public", &json!({"cniVersion": "1.1.0", "name": "public", "type": "scripted"}));
    let call = fixture.call("ADD", &fixture.chained(), &pod).memory(MEMORY);
    let flood = "head -c 1000000000 /dev/zero";
    for (script, words) in [
        (flood.to_owned(), "it wrote more than 4194304 bytes to stdout"),
        (format!("({flood}) & wait"), "it wrote more than 4194304 bytes to stdout"),
        (format!("{flood} | tr '\\0' 'e' | head -c 30000000 >&2; exit 3"), "exited with status 3"),
        ("yes word | head -c 30000000 >&2; exit 3".to_owned(), "its last words: word"),
    ] {
        fixture.install_script("scripted", &format!("[ $CNI_COMMAND = ADD ] || exit 0; {script}"));
        let outcome = call.run(&fixture.node);
        let refusal = Refusal::of(&script, &outcome).expect(&script, 100, &[words]);
        assert!(refusal.details.len() < 26_000, "{script}: {} bytes of details", refusal.details.len());
        assert!(outcome.stderr.len() < 3_000_000, "{script}: {} bytes on stderr", outcome.stderr.len());
        fixture.assert_clean();
    }
}

#[test]
fn a_huge_value_is_shown_shortened() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let long = "\u{1b}".repeat(50_000);
    let paths =
        ["stateDir", "binDir", "cniDir", "confDir", "networksDir", "kubeconfig", "readinessindicatorfile", "logFile"];
    for key in
        paths.into_iter().chain(["name", "cniVersion", "deadline", "logLevel", "clusterNetwork", "namespaceIsolation"])
    {
        let mut config = fixture.chained();
        config.as_object_mut().unwrap().remove("prevResult");
        config[key] = json!(long);
        let call = fixture.call("ADD", &fixture.chained(), &pod).env("CNI_ARGS", "").input(config.to_string());
        // The bound on the length is in what every refusal is checked for.
        let refusal = Refusal::of(key, &call.run(&fixture.node));
        let code = refusal.code;
        refusal.expect(key, code, &[]);
    }
    for key in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_COMMAND"] {
        let call = fixture.call("ADD", &fixture.chained(), &pod).env(key, "\u{1b}".repeat(30_000));
        fixture.refused(key, &call, 4, &[key]);
    }
}
