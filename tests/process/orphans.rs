//! rooknet is killed while its delegate hangs, its IPAM child with it: the lock outlives rooknet, and what follows ends
//! them after their grace of five seconds.

use serde_json::{Value, json};

use crate::faults::{
    LIMIT, assert_killed, gated_on, hanging_on, open_gate, stop_hanging, until_it_hangs, until_it_waits,
};
use crate::fixture::{Fixture, Pod};
use crate::support::wait_until;

/// Starts a call, and kills rooknet, and it alone, when a delegate of it hangs. Gives the delegate's process and its
/// child's.
fn kill_while_a_delegate_hangs(fixture: &Fixture, operation: &str, config: &Value, pod: &Pod<'_>) -> [i32; 2] {
    let mut call = fixture.call(operation, config, pod).start(&fixture.node);
    let hanging = until_it_hangs(fixture, operation);
    call.kill();
    call.wait();
    assert_eq!(fixture.node.processes().len(), 2, "delegate and child outlive rooknet");
    let held: Vec<String> = fixture.node.held_locks().into_iter().map(|lock| lock.file).collect();
    assert_eq!(held, [format!("/run/rooknet/locks/{}", pod.id)], "the lock outlives rooknet");
    hanging
}

fn delegating_add_then_del() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &hanging_on("ADD"));
    let (config, pod) = (fixture.delegating(&json!({})), fixture.pod("osd", Some("public")));
    kill_while_a_delegate_hangs(&fixture, "ADD", &config, &pod);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

fn chained_add_then_add() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &hanging_on("ADD"));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public, cluster")));
    kill_while_a_delegate_hangs(&fixture, "ADD", &config, &pod);
    // The next ADD works with what the network has become, its undoing with what the journal says.
    fixture.define_stub("cluster", &json!({"address": "10.1.0.3/24"}));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    assert_eq!(pod.netns.addresses("net2"), ["10.1.0.3/24"]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

fn the_child_alone_then_del() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &hanging_on("ADD"));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    let hanging = kill_while_a_delegate_hangs(&fixture, "ADD", &config, &pod);
    // Its number says nothing any more; its child still has the lock.
    fixture.node.ok(&["kill", "-KILL", &hanging[0].to_string()]);
    wait_until("the end of the delegate", LIMIT, || fixture.node.processes().len() == 1);
    assert_eq!(fixture.node.held_locks().len(), 1, "the child holds the lock");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

fn del_then_del() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &hanging_on("DEL"));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    kill_while_a_delegate_hangs(&fixture, "DEL", &config, &pod);
    assert!(fixture.journal_of(&pod).is_some(), "nothing says that the DEL succeeded");
    // By the configuration that the journal has it would hang again.
    stop_hanging(&fixture, "stub");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

/// Each waits for the grace, so they wait together.
#[test]
fn what_a_killed_rooknet_left_hanging_ends_after_its_grace_and_leaves_nothing() {
    let cases = [delegating_add_then_del, chained_add_then_add, the_child_alone_then_del, del_then_del];
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(case);
        }
    });
}

/// The killed rooknet's delegate works on, and whoever comes next does not work against it.
#[test]
fn a_call_after_a_killed_add_waits_for_the_work_of_its_delegate() {
    for operation in ["DEL", "ADD"] {
        let fixture = Fixture::start();
        fixture.define_stub("public", &gated_on(&fixture, "ADD"));
        let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
        let add = fixture.call("ADD", &config, &pod).env("ROOKNET_FAULT", "kill:delegate.fed").run(&fixture.node);
        assert_killed(&add, "kill:delegate.fed");
        fixture.define_stub("public", &json!({}));
        let next = fixture.call(operation, &config, &pod).start(&fixture.node);
        until_it_waits(&next, &pod);
        assert_eq!(fixture.recorded_calls(), Vec::<String>::new(), "nobody has worked yet");
        open_gate(&fixture);
        next.wait().expect_success(operation);
        let calls = fixture.recorded_calls();
        assert_eq!(&calls[..2], ["ADD net1", "DEL net1"], "{operation}");
        if operation == "ADD" {
            fixture.run("DEL", &config, &pod).expect_success("DEL");
        }
        fixture.assert_clean();
    }
}

#[test]
fn a_gc_passes_over_a_container_whose_orphaned_delegate_still_works() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &hanging_on("ADD"));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    kill_while_a_delegate_hangs(&fixture, "ADD", &config, &pod);
    fixture.collect(&config, Some(&[])).expect_success("GC");
    assert_eq!(fixture.recorded_calls().iter().filter(|call| call.starts_with("DEL")).count(), 0);
    assert!(fixture.journal_of(&pod).is_some());
    assert_eq!(fixture.taken(), [format!("{}@net1", pod.id)], "an address without whose journal it was read");
}
