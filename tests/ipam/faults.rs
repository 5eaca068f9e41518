//! Kills and full disks at every step: from whatever is left, both implementations go on.

use std::collections::BTreeSet;
use std::fs;

use crate::twin::{BOTH, Call, Data, Whose, run, run_both};

/// Two range sets, so that a kill may come between them.
const TWO: &str = r#"{"cniVersion": "1.1.0", "name": "two", "type": "macvlan", "ipam": {"type": "host-local",
    "dataDir": "@DATA@", "ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "2001:db8::/125"}]]}}"#;

const POOL: &str = r#"{"cniVersion": "1.1.0", "name": "pool", "type": "macvlan",
    "ipam": {"type": "host-local", "dataDir": "@DATA@", "subnet": "10.1.0.0/29"}}"#;

/// A store in which a container of before has its addresses.
fn store() -> Data {
    let data = Data::new();
    assert!(run(Whose::Reference, &data, &Call::new("ADD", "before", TWO)).succeeded);
    data
}

/// What a call passes on its way, as `ROOKNET_FAULT` takes it.
fn passed(data: &Data, call: &Call) -> Vec<String> {
    let trace = Data::new();
    let file = trace.0.join("trace");
    assert!(run(Whose::Ours, data, &call.clone().with("ROOKNET_FAULT_TRACE", file.to_str().unwrap())).succeeded);
    fs::read_to_string(file).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn of_kind<'a>(passed: &'a [String], kind: &str) -> Vec<&'a String> {
    passed.iter().filter(|directive| directive.starts_with(kind)).collect()
}

/// Both go on from a store in which `c` was being added or deleted: they add another, delete `c`, add it again and
/// delete all. No address may be given twice, and none may stay.
fn both_go_on(left: &Data, what: &str) {
    for file in left.files() {
        assert!(!file.1.1.is_empty() || file.0.contains(".rooknet-tmp-"), "{what} left {} empty", file.0);
    }
    for whose in BOTH {
        let data = Data::copy_of(left);
        let act = |command, container: &str| {
            let answer = run(whose, &data, &Call::new(command, container, TWO));
            assert!(answer.succeeded, "{what}, then {whose:?} {command} {container}: {answer:#?}");
            answer
        };
        let held = data.addresses();
        let next = act("ADD", "next").addresses();
        assert!(!next.iter().any(|ip| held.contains(&format!("two/{ip}"))), "{what}: {whose:?} gave {next:?} again");
        act("DEL", "c");
        let again = act("ADD", "c").addresses();
        assert!(again.iter().all(|ip| !next.contains(ip)), "{what}: {whose:?} gave {again:?} again");
        for container in ["c", "next", "before"] {
            act("DEL", container);
        }
        assert_eq!(data.addresses(), Vec::<String>::new(), "{what}, then {whose:?}");
        act("ADD", "last");
        if whose == Whose::Ours {
            let temporary = data.files().into_keys().filter(|name| name.contains(".rooknet-tmp-")).count();
            assert_eq!(temporary, 0, "{what}: a temporary file stays after the next allocation");
        }
    }
}

#[test]
fn a_kill_at_any_step_of_an_add_leaves_a_store_from_which_both_go_on() {
    let call = Call::new("ADD", "c", TWO);
    // The first ADD of a network makes its directory too.
    for (prepare, least) in [(store as fn() -> Data, 19), (Data::new, 20)] {
        let passed = passed(&prepare(), &call);
        let points = of_kind(&passed, "kill:");
        assert!(points.len() >= least, "{points:?}");
        for point in points {
            let data = prepare();
            let killed = run(Whose::Ours, &data, &call.clone().with("ROOKNET_FAULT", point.as_str()));
            assert_eq!(killed.signal, Some(9), "{point}: {killed:#?}");
            both_go_on(&data, point);
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_del_leaves_a_store_from_which_both_go_on() {
    for known in [None, Some("10.1.0.3,2001:db8::3")] {
        let prepared = store();
        assert!(run(Whose::Ours, &prepared, &Call::new("ADD", "c", TWO)).succeeded);
        let mut call = Call::new("DEL", "c", TWO);
        if let Some(known) = known {
            call = call.with("ROOKNET_TEST_KNOWN", known);
        }
        let passed = passed(&Data::copy_of(&prepared), &call);
        let points = of_kind(&passed, "kill:");
        assert!(points.len() >= 5, "{points:?}");
        for point in points {
            let data = Data::copy_of(&prepared);
            let killed = run(Whose::Ours, &data, &call.clone().with("ROOKNET_FAULT", point.as_str()));
            assert_eq!(killed.signal, Some(9), "{point}: {killed:#?}");
            both_go_on(&data, point);
        }
    }
}

#[test]
fn a_write_that_fails_gives_back_all_that_the_call_took_and_names_the_file() {
    let call = Call::new("ADD", "c", TWO);
    let passed = passed(&store(), &call);
    let writes = of_kind(&passed, "enospc:");
    assert_eq!(writes.len(), 4, "{writes:?}");
    for write in writes {
        let data = store();
        let before = data.addresses();
        let message = run(Whose::Ours, &data, &call.clone().with("ROOKNET_FAULT", write.as_str())).message();
        assert!(message.contains("/two/") && message.contains("free space"), "{write}: {message}");
        assert_eq!(data.addresses(), before, "{write}");
        assert!(!data.files().keys().any(|name| name.contains(".rooknet-tmp-")), "{write}");
        both_go_on(&data, write);
    }
}

/// The reference creates a file and then writes into it; killed between the two, it leaves an address that nobody has.
#[test]
fn an_empty_file_that_a_killed_reference_left_is_taken_over() {
    let data = Data::new();
    data.write("pool/10.1.0.2", "");
    data.write("pool/10.1.0.4", "");
    assert_eq!(run(Whose::Reference, &data, &Call::new("ADD", "a", POOL)).addresses(), ["10.1.0.3"]);
    assert_eq!(run(Whose::Ours, &data, &Call::new("ADD", "b", POOL)).addresses(), ["10.1.0.4"]);
    let asking = POOL.replace(r#""ipam""#, r#""runtimeConfig": {"ips": ["10.1.0.2"]}, "ipam""#);
    assert_eq!(run(Whose::Ours, &data, &Call::new("ADD", "c", &asking)).addresses(), ["10.1.0.2"]);
    for (whose, container) in [(Whose::Reference, "b"), (Whose::Ours, "a"), (Whose::Reference, "c")] {
        assert!(run(whose, &data, &Call::new("DEL", container, POOL)).succeeded);
    }
    assert_eq!(data.addresses(), Vec::<String>::new());
}

#[test]
fn after_a_pool_was_used_up_by_kills_every_address_is_had_again() {
    let data = Data::new();
    for last in 2..=6 {
        data.write(&format!("pool/10.1.0.{last}"), "");
    }
    let mut given = BTreeSet::new();
    for number in 0..5 {
        given.extend(run(Whose::Ours, &data, &Call::new("ADD", &format!("c{number}"), POOL)).addresses());
    }
    assert_eq!(given.len(), 5);
    let reference = Data::copy_of(&data);
    assert!(!run_both(&reference, &data, &Call::new("ADD", "late", POOL)).succeeded);
}
