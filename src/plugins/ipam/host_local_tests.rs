use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cni::args::Args;
use crate::cni::{Object, Version};
use crate::state::testing::{Directory, block_on};

fn config(directory: &Directory, ipam: &str, extra: &str) -> Config {
    let text = format!(
        r#"{{"cniVersion": "1.1.0", "name": "n", {extra} "ipam": {{"dataDir": {:?}, {ipam}}}}}"#,
        directory.path().to_str().unwrap()
    );
    Config::parse(&Object::parse("config", &text).unwrap(), &Args::default()).unwrap()
}

fn owner(container_id: &str) -> Owner<'_> {
    Owner { container_id, ifname: "net1" }
}

fn within<T>(call: impl AsyncFnOnce(&Deadline) -> T) -> T {
    block_on(async { call(&Deadline::without_signals(Duration::from_secs(60))).await })
}

fn add(config: &Config, container_id: &str, known_free: bool) -> Result<Vec<IpAddr>, Error> {
    let answer = within(async |deadline| allocate(config, owner(container_id), known_free, deadline).await)?;
    Ok(answer.addresses.iter().map(|ip| ip.address.ip()).collect())
}

fn del(config: &Config, container_id: &str, known: &[IpAddr]) -> Vec<IpAddr> {
    within(async |deadline| release(config, owner(container_id), known, deadline).await).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const SMALL: &str = r#""ranges": [[{"subnet": "10.0.0.0/29"}], [{"subnet": "2001:db8::/126"}]]"#;

#[test]
fn an_answer_has_prefixes_gateways_and_routes_and_reads_in_every_version() {
    let directory = Directory::new();
    let config = config(&directory, &format!(r#"{SMALL}, "routes": [{{"dst": "0.0.0.0/0", "mtu": 1400}}]"#), "");
    let answer = within(async |deadline| allocate(&config, owner("a"), true, deadline).await).unwrap();
    assert_eq!(
        answer.to_object().unwrap().to_raw().unwrap().get(),
        r#"{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/29","gateway":"10.0.0.1"},{"address":"2001:db8::2/126","gateway":"2001:db8::1"}],"routes":[{"dst":"0.0.0.0/0","mtu":1400}]}"#
    );
    for version in Version::ALL {
        let result = answer.to_result(version).unwrap();
        assert_eq!((result.version(), result.addresses().len(), result.routes().len()), (version, 2, 1));
    }
}

#[test]
fn a_duplicate_is_refused_unless_the_caller_knows_that_there_is_none() {
    let directory = Directory::new();
    let config = config(&directory, SMALL, "");
    add(&config, "a", false).unwrap();
    let error = add(&config, "a", false).unwrap_err();
    assert_eq!(error.code, Code::EXISTS);
    assert!(error.message.contains("10.0.0.2") && error.message.contains("/n: "), "{error}");
    // A caller that is wrong gets a second address, and no one else's.
    assert_eq!(add(&config, "a", true).unwrap(), ["10.0.0.3", "2001:db8::3"].map(ip));
}

#[test]
fn with_a_journal_no_file_but_the_candidates_is_opened() {
    let directory = Directory::new();
    let config = config(&directory, SMALL, "");
    let mine = add(&config, "a", true).unwrap();
    // Whoever reads all files stumbles over one that cannot be read.
    std::os::unix::fs::symlink("10.0.0.6", config.store().directory().join("10.0.0.6")).unwrap();
    assert_eq!(add(&config, "b", false).unwrap_err().code, Code::IO);
    assert_eq!(add(&config, "b", true).unwrap(), ["10.0.0.3", "2001:db8::3"].map(ip));
    assert_eq!(del(&config, "a", &mine), mine);
    assert!(within(async |deadline| release(&config, owner("b"), &[], deadline).await).is_err());
}

#[test]
fn a_later_set_that_is_full_gives_back_what_the_call_took() {
    let directory = Directory::new();
    let config = config(&directory, SMALL, "");
    for container in ["a", "b"] {
        add(&config, container, true).unwrap();
    }
    let error = add(&config, "c", true).unwrap_err();
    assert_eq!(error.code, Code::TRY_AGAIN_LATER);
    assert!(error.message.contains("2001:db8::1-2001:db8::3"), "{error}");
    let taken = ["10.0.0.2", "10.0.0.3", "2001:db8::2", "2001:db8::3"];
    assert_eq!(config.store().taken().unwrap().into_iter().collect::<BTreeSet<_>>(), taken.map(ip).into());
}

#[test]
fn a_request_is_honoured_or_refused_by_name() {
    let directory = Directory::new();
    let asking = |ip: &str| config(&directory, SMALL, &format!(r#""args": {{"cni": {{"ips": ["{ip}"]}}}},"#));
    assert_eq!(add(&asking("10.0.0.5"), "a", true).unwrap(), ["10.0.0.5", "2001:db8::2"].map(ip));
    for (asked, code) in
        [("10.0.0.5", Code::EXISTS), ("10.0.0.1", Code::INVALID_CONFIG), ("10.0.0.7", Code::INVALID_CONFIG)]
    {
        let error = add(&asking(asked), "b", true).unwrap_err();
        assert!(error.code == code && error.message.contains(asked), "{error}");
    }
    assert_eq!(asking("10.0.0.5").store().taken().unwrap().len(), 2);
}

#[test]
fn check_finds_an_address_that_is_gone_or_anothers() {
    let directory = Directory::new();
    let config = config(&directory, SMALL, "");
    let run = |container: &str, known: &[IpAddr]| {
        within(async |deadline| check(&config, owner(container), known, deadline).await).map_err(|error| error.code)
    };
    assert_eq!(run("a", &[]), Err(Code::CHECK_FAILED), "there is no store yet");
    assert!(!config.store().directory().exists(), "and CHECK makes none");
    let mine = add(&config, "a", true).unwrap();
    let theirs = add(&config, "b", true).unwrap();
    assert_eq!((run("a", &mine), run("a", &[])), (Ok(()), Ok(())));
    assert_eq!(run("a", &[mine[0], theirs[1]]), Err(Code::CHECK_FAILED));
    assert_eq!(del(&config, "a", &mine), mine);
    assert_eq!((run("a", &mine), run("a", &[])), (Err(Code::CHECK_FAILED), Err(Code::CHECK_FAILED)));
}

#[test]
fn status_finds_a_full_set_and_a_directory_that_cannot_be_used() {
    let directory = Directory::new();
    let config = config(&directory, SMALL, "");
    assert_eq!(status(&config), []);
    for container in ["a", "b"] {
        add(&config, container, true).unwrap();
    }
    let found = status(&config);
    assert!(matches!(found.as_slice(), [Finding::Full { range_set: 1, capacity: 2, .. }]), "{found:?}");
    assert!(found[0].to_string().contains("all 2 addresses of the range set 2001:db8::1-2001:db8::3 are taken"));
    // An empty file is no obstacle.
    std::fs::write(config.store().directory().join("2001:db8::3"), "").unwrap();
    assert_eq!(status(&config), []);

    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text =
        format!(r#"{{"name": "n", "ipam": {{"dataDir": {:?}, "subnet": "10.0.0.0/24"}}}}"#, file.to_str().unwrap());
    let unusable = Config::parse(&Object::parse("config", &text).unwrap(), &Args::default()).unwrap();
    assert!(matches!(status(&unusable).as_slice(), [Finding::Unusable { reason }] if reason.contains("/file")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Allocations and releases in any order, against a model of what is taken.
    #[test]
    fn an_address_is_never_given_twice_and_comes_again_in_turn(
        prefix in 26_u8..=29,
        gateway in 0_u8..70,
        steps in prop::collection::vec((any::<bool>(), 0_u8..12, any::<bool>()), 1..60),
    ) {
        let directory = Directory::new();
        let ipam = format!(r#""ranges": [[{{"subnet": "10.0.0.0/{prefix}", "gateway": "10.0.0.{gateway}"}}, {{"subnet": "10.0.1.0/30"}}]]"#);
        let config = config(&directory, &ipam, "");
        let set = &config.range_sets()[0];
        let ring: Vec<IpAddr> = set.candidates(None).map(|(ip, _)| ip).collect();
        let never = [format!("10.0.0.{gateway}"), "10.0.0.0".to_owned()].map(|never| ip(&never));
        prop_assert!(!ring.iter().any(|ip| never.contains(ip)));
        let mut taken: std::collections::BTreeMap<u8, IpAddr> = std::collections::BTreeMap::new();
        let mut last: Option<IpAddr> = None;
        for (adds, container, knows) in steps {
            let id = format!("c{container}");
            if adds {
                let free = set.candidates(last).map(|(ip, _)| ip).find(|ip| !taken.values().any(|other| other == ip));
                let known_free = knows && !taken.contains_key(&container);
                let given = add(&config, &id, known_free).ok().map(|ips| ips[0]);
                let expected = if taken.contains_key(&container) { None } else { free };
                prop_assert_eq!(given, expected);
                if let Some(given) = given {
                    last = Some(given);
                    taken.insert(container, given);
                }
            } else {
                let had: Vec<IpAddr> = taken.remove(&container).into_iter().collect();
                let released = del(&config, &id, if knows { &had } else { &[] });
                prop_assert_eq!(released, had);
            }
            let files: BTreeSet<IpAddr> = config.store().taken().unwrap().into_iter().collect();
            prop_assert_eq!(files, taken.values().copied().collect::<BTreeSet<_>>());
        }
    }
}
