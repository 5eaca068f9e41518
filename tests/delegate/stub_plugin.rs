//! The stub plugin itself, where other tests count on it: links, store, versions.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::bench::{Bench, STUB, far, run};
use rooknet::cni::Code;
use rooknet::delegate::{Context, add, check, del};
use serde_json::{Value, json};

/// A process in a network namespace of its own, which ends with it.
struct Namespace(Child);
impl Namespace {
    /// `None` without the right to make one.
    fn new() -> Option<Self> {
        let mut child =
            Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        // cat answers once the namespace is there.
        let _ = writeln!(child.stdin.as_mut()?, "ready");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut()?).read_line(&mut line).ok()?;
        if line == "ready\n" { Some(Namespace(child)) } else { None }
    }
    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}
impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stub_can_make_a_real_link_check_it_and_delete_it() {
    let Some(namespace) = Namespace::new() else {
        eprintln!("skipped: no right to make a network namespace");
        return;
    };
    let bench = Bench::new("link");
    let network = bench.network("1.0.0", &[("p", json!({"link": "bridge", "address": "10.9.9.9/24"}))]);
    let deadline = far();
    let netns = namespace.path();
    let context = Context { netns: &netns, ..bench.context(&deadline) };
    run(async {
        let result = add(&network, &context).await.unwrap();
        assert_eq!(result.result.addresses().len(), 1);
        assert!(result.result.interfaces()[0].mac.len() == 17);
        check(&network, &context, &result.result).await.unwrap();
        assert!(add(&network, &context).await.unwrap_err().to_string().contains("ip [\"link\", \"add\""));
        del(&network, &context, Some(&result.result)).await.unwrap();
        del(&network, &context, Some(&result.result)).await.unwrap();
        assert!(check(&network, &context, &result.result).await.is_err());
    });
}

#[test]
fn a_stub_keeps_an_allocation_from_add_to_del() {
    let bench = Bench::new("store");
    let store = bench.dir.join("store");
    let network = bench.network("1.0.0", &[("p", json!({"store": store, "failOn": ["CHECK"]}))]);
    let deadline = far();
    let context = bench.context(&deadline);
    run(async {
        add(&network, &context).await.unwrap();
        assert!(store.join("c1@net1").exists());
        assert_eq!(add(&network, &context).await.unwrap_err().to_cni().code, Code(111));
        del(&network, &context, None).await.unwrap();
        del(&network, &context, None).await.unwrap();
    });
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0);
}

#[test]
fn a_stub_without_configuration_fails_and_does_nothing() {
    let output = Command::new(STUB).env("CNI_COMMAND", "ADD").stdin(Stdio::null()).output().unwrap();
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success() && error["code"] == 111, "{error}");
}

#[test]
fn a_stub_answers_version() {
    let mut child =
        Command::new(STUB).env("CNI_COMMAND", "VERSION").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"cniVersion":"1.1.0","stub":{"versions":["1.0.0"]}}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["supportedVersions"], json!(["1.0.0"]));
}
