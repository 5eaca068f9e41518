//! What the runtime says in variables.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::fixture::Fixture;

#[test]
fn all_missing_variables_are_named_at_once() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let all = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
    for (command, needed) in [
        ("ADD", &all[..]),
        ("CHECK", &all[..]),
        ("DEL", &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"][..]),
        ("GC", &["CNI_PATH"][..]),
        ("STATUS", &["CNI_PATH"][..]),
    ] {
        let whole = fixture.call(command, &fixture.chained(), &pod);
        let mut none = whole.clone();
        for name in all {
            none = none.without(name);
        }
        let message = fixture.refused(command, &none, 4, &["not set", &format!("{command} needs")]).message;
        for name in all {
            assert_eq!(message.contains(name), needed.contains(&name), "{command}: {name}: {message}");
        }
        for name in needed {
            for call in [whole.clone().without(name), whole.clone().env(name, "")] {
                fixture.refused(name, &call, 4, &[&format!("{name} is not set"), command]);
            }
        }
    }
}

#[test]
fn an_invalid_variable_is_named_with_its_value_and_the_rule() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let long = "x".repeat(201);
    let rows: [(&str, &str, &[&str]); 18] = [
        ("CNI_CONTAINERID", "../../etc/passwd", &["\"../../etc/passwd\"", "letters, digits"]),
        ("CNI_CONTAINERID", "a/b", &["\"a/b\""]),
        ("CNI_CONTAINERID", "-a", &["begin with a letter or digit"]),
        ("CNI_CONTAINERID", "a b", &["\"a b\""]),
        ("CNI_CONTAINERID", "a\u{1b}[2Jb", &["\\u{1b}"]),
        ("CNI_CONTAINERID", &long, &["200"]),
        ("CNI_IFNAME", "sixteen-letters-", &["1 to 15"]),
        ("CNI_IFNAME", "net%d", &["\"%\""]),
        ("CNI_IFNAME", "a/b", &["\"/\""]),
        ("CNI_IFNAME", "a:b", &["\":\""]),
        ("CNI_IFNAME", "a b", &["white space"]),
        ("CNI_IFNAME", "..", &["reserved"]),
        ("CNI_IFNAME", "n\u{e9}t", &["printable ASCII"]),
        ("CNI_PATH", "::", &["names no directory"]),
        ("CNI_ARGS", "nonsense", &["\"nonsense\"", "KEY=VALUE"]),
        ("CNI_ARGS", "IgnoreUnknown=perhaps", &["IgnoreUnknown=perhaps", "1, true, 0 or false"]),
        ("CNI_ARGS", "EVIL\u{1b}[2J=1", &["\\u{1b}", "IgnoreUnknown=1"]),
        ("CNI_ARGS", "IP=1\u{202e}=2", &["\\u{202e}"]),
    ];
    for command in ["ADD", "DEL", "CHECK"] {
        for (name, value, words) in &rows {
            let call = fixture.call(command, &fixture.chained(), &pod).env(name, value);
            let message = fixture.refused(&format!("{command} {name}={value}"), &call, 4, words).message;
            assert!(message.starts_with(name), "{message}");
        }
    }
}

#[test]
fn a_variable_that_is_not_utf8_is_named() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for name in ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"] {
        let call = fixture.call("ADD", &fixture.chained(), &pod).env(name, OsStr::from_bytes(b"a\xff\x1b"));
        fixture.refused(name, &call, 4, &[name]);
    }
}

#[test]
fn a_namespace_that_is_none_is_code_4_for_add_and_check() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    for command in ["ADD", "CHECK"] {
        for path in
            ["/run/netns/gone", "/etc/hostname", "/run", "relative", "/proc/self/ns/mnt", "/dev/null", "/a\u{1b}"]
        {
            let call = fixture.call(command, &fixture.chained(), &pod).env("CNI_NETNS", path);
            let shown = path.replace('\u{1b}', "\\u{1b}");
            fixture.refused(path, &call, 4, &["CNI_NETNS", &shown, "is not a network namespace"]);
        }
    }
}

#[test]
fn gc_and_status_pass_over_what_does_not_concern_them() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for command in ["GC", "STATUS"] {
        let mut call = fixture.call(command, &fixture.chained(), &pod).env("CNI_ARGS", "nonsense");
        for name in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS"] {
            call = call.env(name, "../\u{1b}");
        }
        assert_eq!(call.run(&fixture.node).expect_success(command), "");
    }
}
