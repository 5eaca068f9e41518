//! Lives of attachments: the same calls by both, and by turns.

use std::collections::BTreeSet;

use crate::configs::{Calls, Chance};
use crate::twin::{Answer, Call, Data, Whose, run, run_both};

/// The addresses of an answer, in any version.
fn addresses(answer: &Answer) -> Vec<String> {
    let result = answer.result();
    let old = ["ip4", "ip6"].into_iter().filter_map(|key| result[key]["ip"].as_str());
    let new = result["ips"].as_array().into_iter().flatten().filter_map(|ip| ip["address"].as_str());
    old.chain(new).map(|address| address.split('/').next().unwrap().to_owned()).collect()
}

#[test]
fn five_hundred_calls_at_random_give_the_same_answers_and_the_same_files() {
    let (reference, ours) = (Data::new(), Data::new());
    let mut calls = Calls::new(5);
    let (mut added, mut refused) = (0, 0);
    for _ in 0..500 {
        let (call, key) = calls.next();
        let answer = run_both(&reference, &ours, &call);
        let known = match (call.command, answer.succeeded) {
            ("ADD", true) => Some(addresses(&answer)),
            (_, true) => Some(Vec::new()),
            (_, false) => None,
        };
        added += usize::from(call.command == "ADD" && answer.succeeded);
        refused += usize::from(call.command == "ADD" && !answer.succeeded);
        calls.answered(call.command, key, known);
    }
    assert!(added >= 80 && refused >= 50, "the calls are one-sided: {added} attachments, {refused} refused");
}

#[test]
fn in_one_store_each_goes_on_where_the_other_stopped() {
    // What the reference alone does is the standard; by turns the same must come out.
    let (reference, mixed) = (Data::new(), Data::new());
    let mut calls = Calls::new(11);
    let mut turn = Chance(3);
    for _ in 0..200 {
        let (call, key) = calls.next();
        let expected = run(Whose::Reference, &reference, &call);
        let whose = crate::twin::BOTH[turn.below(2)];
        let answer = run(whose, &mixed, &call);
        assert_eq!(expected.succeeded, answer.succeeded, "{whose:?} {call:#?}\n{expected:#?}\n{answer:#?}");
        let mut known = None;
        if answer.succeeded {
            known = Some(Vec::new());
            if call.command == "ADD" {
                assert_eq!(expected.result(), answer.result(), "{whose:?} {call:#?}");
                known = Some(addresses(&answer));
            }
        }
        assert_eq!(reference.files(), mixed.files(), "{whose:?} {call:#?}");
        calls.answered(call.command, key, known);
    }
}

const POOL: &str = r#"{"cniVersion": "1.1.0", "name": "pool", "type": "macvlan",
    "ipam": {"type": "host-local", "dataDir": "@DATA@", "subnet": "10.1.0.0/29"}}"#;

#[test]
fn an_exhausted_pool_refuses_and_serves_again_in_turn_after_a_release() {
    let (reference, ours) = (Data::new(), Data::new());
    let mut seen = BTreeSet::new();
    for number in 0..5 {
        let answer = run_both(&reference, &ours, &Call::new("ADD", &format!("c{number}"), POOL));
        seen.extend(answer.addresses());
    }
    assert_eq!(seen.len(), 5);
    let refused = run_both(&reference, &ours, &Call::new("ADD", "late", POOL));
    assert!(refused.message().contains("10.1.0.1-10.1.0.6"), "{}", refused.message());
    for container in ["c3", "c1"] {
        run_both(&reference, &ours, &Call::new("DEL", container, POOL));
    }
    for expected in ["10.1.0.3", "10.1.0.5"] {
        let answer = run_both(&reference, &ours, &Call::new("ADD", &format!("after{expected}"), POOL));
        assert_eq!(answer.addresses(), [expected]);
    }
}

#[test]
fn an_old_store_which_names_the_container_alone_is_read_and_released_alike() {
    let (reference, ours) = (Data::new(), Data::new());
    for data in [&reference, &ours] {
        data.write("pool/10.1.0.2", "c0");
        data.write("pool/10.1.0.3", "c1\n");
        data.write("pool/10.1.0.4", "c1\r\nnet1\n");
        data.write("pool/10.1.0.5", "c2\r\nnet9");
        data.write("pool/last_reserved_ip.0", "no address");
    }
    let refused = run_both(&reference, &ours, &Call::new("ADD", "c0", POOL));
    assert!(refused.message().contains("10.1.0.2"), "{}", refused.message());
    for container in ["c0", "c1", "c2"] {
        run_both(&reference, &ours, &Call::new("CHECK", container, POOL));
        run_both(&reference, &ours, &Call::new("DEL", container, POOL));
    }
    assert_eq!(ours.addresses(), ["pool/10.1.0.3", "pool/10.1.0.5"]);
    run_both(&reference, &ours, &Call::new("DEL", "c1", POOL));
    assert_eq!(ours.addresses(), ["pool/10.1.0.5"]);
}

#[test]
fn a_journal_that_is_wrong_releases_nothing_of_another_container() {
    let data = Data::new();
    let theirs = run(Whose::Reference, &data, &Call::new("ADD", "theirs", POOL)).addresses();
    let call = Call::new("DEL", "mine", POOL).with("ROOKNET_TEST_KNOWN", theirs.join(","));
    assert!(run(Whose::Ours, &data, &call).succeeded);
    assert_eq!(data.addresses(), ["pool/10.1.0.2"]);
    let call = Call::new("CHECK", "mine", POOL).with("ROOKNET_TEST_KNOWN", theirs.join(","));
    assert!(run(Whose::Ours, &data, &call).message().contains("10.1.0.2"));
}

/// A difference on purpose: the reference's failed second ADD takes the address of the first one away.
#[test]
fn a_second_add_that_fails_leaves_the_first_ones_addresses() {
    let config = r#"{"cniVersion": "1.1.0", "name": "two", "type": "macvlan", @EXTRA@ "ipam": {"type": "host-local",
        "dataDir": "@DATA@", "ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "10.2.0.0/29"}]]}}"#;
    let plain = config.replace("@EXTRA@", "");
    let asking = config.replace("@EXTRA@", r#""args": {"cni": {"ips": ["10.1.0.5"]}},"#);
    let mut left = Vec::new();
    for whose in crate::twin::BOTH {
        let data = Data::new();
        assert!(run(whose, &data, &Call::new("ADD", "c", &plain)).succeeded);
        assert!(!run(whose, &data, &Call::new("ADD", "c", &asking)).succeeded);
        left.push(data.addresses());
    }
    assert_eq!(left[0], Vec::<String>::new(), "the reference does better now: drop this difference");
    assert_eq!(left[1], ["two/10.1.0.2", "two/10.2.0.2"]);
}

#[test]
fn the_directory_and_the_lock_are_made_with_the_same_modes() {
    use std::os::unix::fs::PermissionsExt;
    let modes = |data: &Data| {
        let mode = |path: &str| std::fs::metadata(data.0.join(path)).unwrap().permissions().mode();
        [mode("deep/er"), mode("deep/er/pool"), mode("deep/er/pool/lock")]
    };
    let (reference, ours) = (Data::new(), Data::new());
    run_both(&reference, &ours, &Call::new("ADD", "c", &POOL.replace("@DATA@", "@DATA@/deep/er")));
    assert_eq!(modes(&reference), modes(&ours));
}

#[test]
fn resolv_conf_gives_the_same_dns() {
    let (reference, ours) = (Data::new(), Data::new());
    let text = "# c\nnameserver 192.0.2.3 x\n\tnameserver 2001:db8::3\ndomain a\ndomain b.example\nsearch c d\n\
                search e <f>\noptions ndots:5\noptions\n; d\nsortlist 1\n";
    let config = POOL.replace(r#""subnet""#, r#""resolvConf": "@DATA@/resolv.conf", "subnet""#);
    for (version, name) in [("1.1.0", "a"), ("0.4.0", "b"), ("0.2.0", "c")] {
        for data in [&reference, &ours] {
            data.write("resolv.conf", text);
        }
        let answer = run_both(&reference, &ours, &Call::new("ADD", name, &config.replace("1.1.0", version)));
        assert_eq!(answer.result()["dns"]["nameservers"][1], "2001:db8::3");
    }
    let missing = config.replace("resolv.conf", "none.conf");
    assert!(run_both(&reference, &ours, &Call::new("ADD", "d", &missing)).message().contains("none.conf"));
}
