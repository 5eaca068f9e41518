//! The log: one line a record, for an administrator and for a program, and never in the way of a pod.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, Refusal, merge};

/// Where the tests log to.
const LOG: &str = "/run/log-of-node/rooknet.log";

/// A line of the log, taken apart.
#[derive(Debug)]
struct Line {
    level: String,
    fields: Vec<(String, String)>,
}

impl Line {
    /// Reads `TIME LEVEL KEY=VALUE…`, a value in quotes with backslashes as logfmt's readers do.
    fn parse(line: &str) -> Line {
        let mut words = line.splitn(3, ' ');
        let (time, level) = (words.next().unwrap(), words.next().unwrap());
        assert!(time.len() == 24 && time.ends_with('Z') && time.contains('T'), "{line}");
        let mut rest = words.next().unwrap_or_default();
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (key, value) = rest.split_once('=').unwrap_or_else(|| panic!("no field in {rest:?} of {line}"));
            assert!(!key.contains([' ', '"']), "{line}");
            let (value, after) = value_of(value);
            fields.push((key.to_owned(), value));
            rest = after;
        }
        Line { level: level.to_owned(), fields }
    }

    fn get(&self, key: &str) -> &str {
        self.fields.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }
}

/// The value at the beginning of a text, and what comes after it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        return (text[..end].to_owned(), text[end..].trim_start());
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, quoted[at + 1..].trim_start()),
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => value.push(letters.next().unwrap().1),
            _ => value.push(letter),
        }
    }
    panic!("a value without end: {text}");
}

fn lines(bytes: &[u8]) -> Vec<Line> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    assert!(!text.replace('\n', "").contains(|letter: char| letter.is_control()), "{text:?}");
    text.lines().map(Line::parse).collect()
}

/// The chained configuration with these keys, and the pod `osd` that selects `public` and `cluster`.
fn configured(fixture: &Fixture, keys: &Value) -> Value {
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &json!({}));
    let mut config = fixture.chained();
    merge(&mut config, keys);
    config
}

fn osd(fixture: &Fixture) -> Pod<'_> {
    fixture.pod("osd", Some("public,cluster@cluster"))
}

fn log(fixture: &Fixture) -> Vec<Line> {
    lines(&fixture.node.read(LOG).unwrap_or_default())
}

#[test]
fn at_info_an_add_is_one_line_for_each_attachment_with_its_duration() {
    let fixture = Fixture::start();
    // info is what holds when nothing is said.
    for keys in [json!({"logFile": LOG}), json!({"logFile": LOG, "logLevel": "info"})] {
        let config = configured(&fixture, &keys);
        let pod = osd(&fixture);
        fixture.run("ADD", &config, &pod).expect_success("ADD");
        let lines = log(&fixture);
        let attached: Vec<[&str; 5]> = lines
            .iter()
            .map(|line| ["container", "pod", "network", "interface"].map(|key| line.get(key)))
            .zip(&lines)
            .map(|([container, pod, network, interface], line)| [&line.level, container, pod, network, interface])
            .collect();
        let expected = |network, interface| ["info", pod.id.as_str(), "rook-ceph/osd", network, interface];
        assert_eq!(attached, [expected("rook-ceph/public", "net1"), expected("rook-ceph/cluster", "cluster")]);
        for line in &lines {
            let number = line.get("msg").strip_prefix("attached in ").and_then(|rest| rest.strip_suffix(" ms"));
            number.and_then(|number| number.parse::<u64>().ok()).unwrap_or_else(|| panic!("{line:?}"));
        }
        fixture.node.write(LOG, "");
        fixture.run("DEL", &config, &pod).expect_success("DEL");
        let gone: Vec<_> =
            log(&fixture).iter().map(|line| (line.get("interface").to_owned(), line.get("msg").to_owned())).collect();
        assert_eq!(gone, [("cluster".to_owned(), "detached".to_owned()), ("net1".to_owned(), "detached".to_owned())]);
        fixture.node.write(LOG, "");
    }
    fixture.assert_clean();
}

#[test]
fn every_line_of_a_call_names_container_and_pod() {
    let fixture = Fixture::start();
    let config = configured(&fixture, &json!({"logFile": LOG, "logLevel": "debug"}));
    fixture.define_stub("cluster", &json!({"stderr": "why\n", "failOn": ["ADD"]}));
    let pod = osd(&fixture);
    Refusal::of("ADD", &fixture.run("ADD", &config, &pod)).expect("ADD", 111, &["as told"]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    let lines = log(&fixture);
    assert!(lines.len() > 4, "{lines:?}");
    for line in &lines {
        assert_eq!((line.get("container"), line.get("pod")), (pod.id.as_str(), "rook-ceph/osd"), "{line:?}");
    }
    let failed: Vec<_> = lines.iter().filter(|line| line.level == "error").map(|line| line.get("msg")).collect();
    assert!(failed.iter().any(|message| message.starts_with("rolling back: network rook-ceph/cluster")), "{failed:?}");
    assert!(failed.iter().any(|message| message.starts_with("ADD failed: code 111")), "{failed:?}");
}

#[test]
fn levels_have_multus_names_and_ours() {
    let fixture = Fixture::start();
    let config = configured(&fixture, &json!({"logFile": LOG}));
    let pod = osd(&fixture);
    let mut counts = Vec::new();
    let names = ["off", "panic", "error", "warn", "warning", "verbose", "info", "debug", "trace", "DEBUG", "Verbose"];
    for level in names {
        let mut config = config.clone();
        // A warning of the ADD's, and an error.
        merge(&mut config, &json!({"logLevel": level, "logOptions": {"maxAge": 1}}));
        fixture.run("ADD", &config, &pod).expect_success(level);
        Refusal::of("again", &fixture.run("ADD", &config, &pod));
        fixture.run("DEL", &config, &pod).expect_success(level);
        let lines = log(&fixture);
        let count = |level: &str| lines.iter().filter(|line| line.level == level).count();
        counts.push([count("error"), count("warn"), count("info"), usize::from(count("debug") > 0)]);
        fixture.node.write(LOG, "");
    }
    let (error, warn, info, debug) = ([1, 0, 0, 0], [1, 2, 0, 0], [1, 2, 4, 0], [1, 2, 4, 1]);
    assert_eq!(counts, [[0; 4], error, error, warn, warn, info, info, debug, debug, debug, info]);
}

#[test]
fn log_to_stderr_is_on_unless_said_otherwise() {
    let fixture = Fixture::start();
    let pod = osd(&fixture);
    for (keys, on_stderr, in_file) in [
        (json!({}), true, false),
        (json!({"logFile": LOG}), true, true),
        (json!({"logFile": LOG, "logToStderr": true}), true, true),
        (json!({"logFile": LOG, "logToStderr": "false"}), false, true),
        (json!({"logToStderr": false}), false, false),
    ] {
        let config = configured(&fixture, &keys);
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success("ADD");
        assert_eq!(!lines(&added.stderr).is_empty(), on_stderr, "{keys}");
        assert_eq!(!log(&fixture).is_empty(), in_file, "{keys}");
        fixture.run("DEL", &config, &pod).expect_success("DEL");
        fixture.node.write(LOG, "");
    }
}

#[test]
fn a_log_that_cannot_be_written_never_fails_an_add() {
    let fixture = Fixture::start();
    fixture.node.write("/run/a-file", "");
    fixture.node.ok(&["mkdir", "/run/a-directory"]);
    fixture.node.ok(&["mkfifo", "/run/a-fifo"]);
    // (path, whether something is said of it)
    for (path, is_noted) in [
        ("/run/new/deep/rooknet.log", false),
        ("/dev/full", false),
        ("/run/a-fifo", true),
        ("/run/a-directory", true),
        ("/run/a-file/below", true),
        ("/proc/nowhere/rooknet.log", true),
        ("/sys/rooknet.log", true),
        ("/dev/stdout", true),
        ("/proc/self/fd/1", true),
    ] {
        let config = configured(&fixture, &json!({"logFile": path, "logToStderr": false, "logLevel": "trace"}));
        let pod = osd(&fixture);
        for operation in ["ADD", "CHECK", "DEL"] {
            let outcome = fixture.run(operation, &config, &pod);
            let stdout = outcome.expect_success(&format!("{operation} with {path}"));
            let expected = if operation == "ADD" { format!("{}\n", config["prevResult"]) } else { String::new() };
            assert_eq!(stdout.len(), expected.len(), "{stdout}");
            let note = String::from_utf8(outcome.stderr).unwrap();
            let expected = format!("rooknet: cannot write the log {path}: ");
            assert_eq!(
                note.starts_with(&expected) && note.ends_with("going on without it\n"),
                is_noted,
                "{path}: {note}"
            );
        }
        pod.netns.clone().delete();
        fixture.assert_clean();
    }
    assert!(!lines(&fixture.node.read("/run/new/deep/rooknet.log").unwrap()).is_empty());
}

#[test]
fn a_log_that_is_too_large_is_renamed_once() {
    let fixture = Fixture::start();
    let config = configured(&fixture, &json!({"logFile": LOG, "logToStderr": false, "logOptions": {"maxSize": 1}}));
    let pod = osd(&fixture);
    fixture.node.write(&format!("{LOG}.1"), "the oldest\n");
    fixture.node.write(LOG, "x".repeat(1_000_000));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    assert_eq!(fixture.node.read(&format!("{LOG}.1")).unwrap(), b"the oldest\n");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert_eq!(fixture.node.read(&format!("{LOG}.1")).unwrap().first(), Some(&b'x'));
    let lines = log(&fixture);
    assert_eq!(lines.iter().map(|line| line.get("msg")).collect::<Vec<_>>(), ["detached", "detached"]);
    assert_eq!(fixture.node.entries("/run/log-of-node"), ["rooknet.log", "rooknet.log.1"]);
}

#[test]
fn other_log_options_are_warned_of() {
    let fixture = Fixture::start();
    let options = json!({"maxAge": 5, "maxSize": 100, "maxBackups": 5, "compress": true});
    let config = configured(&fixture, &json!({"logFile": LOG, "logOptions": options}));
    let pod = osd(&fixture);
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    let lines = log(&fixture);
    let warnings: Vec<_> = lines.iter().filter(|line| line.level == "warn").map(|line| line.get("msg")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for (key, named) in [("maxAge", true), ("maxBackups", true), ("compress", true), ("logrotate", true)] {
        assert_eq!(warnings[0].contains(key), named, "{warnings:?}");
    }
}

#[test]
fn foreign_text_cannot_forge_a_record_or_a_field() {
    let fixture = Fixture::start();
    let forged = "2026-01-01T00:00:00.000Z info container=x msg=forged";
    let hostile = [
        format!("x\n{forged}"),
        format!("x\r{forged}\u{2028}{forged}\u{1b}[2K"),
        "x\" container=forged msg=\"".to_owned(),
        "x\\\" container=forged msg=\\\"".to_owned(),
        "x y\\".to_owned(),
        "x\u{a0}container=forged\u{2003}msg=forged".to_owned(),
    ];
    for text in hostile {
        let config = configured(&fixture, &json!({"logFile": LOG, "logLevel": "trace"}));
        let error = json!({"code": 7, "msg": text, "details": text});
        fixture.define_stub("cluster", &json!({"stderr": format!("{text}\n"), "error": error, "failOn": ["ADD"]}));
        let pod = osd(&fixture);
        Refusal::of(&text, &fixture.run("ADD", &config, &pod)).expect(&text, 7, &[]);
        let arguments =
            format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=rook-ceph;K8S_POD_NAME={}", text.replace(['=', ';'], ":"));
        let call = fixture.call("ADD", &config, &pod).env("CNI_ARGS", arguments);
        Refusal::of(&text, &call.run(&fixture.node)).expect(&text, 4, &["K8S_POD_NAME"]);
        let selected = json!([{"name": "public", (text.as_str()): 1}, {"name": text}]).to_string();
        let selecting = fixture.pod("osd", Some(&selected));
        Refusal::of(&text, &fixture.run("ADD", &config, &selecting)).expect(&text, 7, &["element 2"]);
        for line in log(&fixture) {
            for key in ["container", "pod", "network", "interface", "msg"] {
                assert!(line.fields.iter().filter(|(name, _)| name == key).count() <= 1, "{text:?}: {line:?}");
            }
            assert!(line.get("container").starts_with("osd-"), "{text:?}: {line:?}");
            assert_ne!(line.get("msg"), "forged");
        }
        fixture.node.write(LOG, "");
    }
    fixture.assert_clean();
}

#[test]
fn delegates_stderr_is_in_the_log_and_its_tail_in_the_error() {
    let fixture = Fixture::start();
    let config = configured(&fixture, &json!({"logFile": LOG}));
    let words = format!("{}\nthe pool\n\u{1b}[31mis empty\n", "e".repeat(10_000));
    fixture.define_stub("cluster", &json!({"stderr": words, "failOn": ["ADD"]}));
    let pod = osd(&fixture);
    let refusal = Refusal::of("ADD", &fixture.run("ADD", &config, &pod)).expect("ADD", 111, &["as told"]);
    // Of the long line only a part would fit: whole lines only.
    assert_eq!(refusal.details, "stderr: the pool | \\u{1b}[31mis empty");
    let lines = log(&fixture);
    let said = |text: &str| {
        lines.iter().any(|line| {
            (line.get("plugin"), line.get("network"), line.get("interface")) == ("stub", "cluster", "cluster")
                && line.get("msg") == format!("stderr: {text}")
        })
    };
    assert!(said("the pool") && said("\\u{1b}[31mis empty"), "{lines:?}");
}

#[test]
fn nothing_but_the_result_is_on_stdout_at_any_level() {
    let fixture = Fixture::start();
    for level in ["trace", "debug", "info", "error", "off"] {
        let config = configured(&fixture, &json!({"logLevel": level}));
        fixture.define_stub("public", &json!({"stderr": "noise\n"}));
        let pod = osd(&fixture);
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success(level);
        assert_eq!(added.json(), config["prevResult"]);
        for operation in ["CHECK", "GC", "STATUS", "DEL"] {
            assert_eq!(fixture.run(operation, &config, &pod).expect_success(operation), "", "{level}");
        }
    }
}
