//! The agent's snapshot of definitions as its writer leaves it, whenever that is killed. What a reader makes of it is
//! tested with an API server.

use crate::fixture::Fixture;

const OBJECT: &str = "/run/rooknet/definitions/rook-ceph/public.json";
const HEARTBEAT: &str = "/run/rooknet/definitions/.heartbeat";

#[test]
fn an_object_that_is_put_is_whole_wherever_its_writer_is_killed() {
    let fixture = Fixture::start();
    let words = ["put", "rook-ceph", "public"];
    let points = fixture.points_of(&words, "former");
    assert!(points.len() >= 4, "{points:?}");
    for point in points {
        fixture.stepped(&words, "former");
        fixture.kill_step(&words, "new", &point);
        let is_new = ["renamed", "synced"].iter().any(|step| point.ends_with(step));
        let expected: &[u8] = if is_new { b"new" } else { b"former" };
        assert_eq!(fixture.node.read(OBJECT).as_deref(), Some(expected), "{point}");
    }
}

#[test]
fn a_heartbeat_is_whole_or_absent_wherever_its_writer_is_killed() {
    let fixture = Fixture::start();
    for point in fixture.points_of(&["beat", "60000"], "") {
        fixture.stepped(&["stop"], "");
        fixture.kill_step(&["beat", "60000"], "", &point);
        if let Some(heartbeat) = fixture.node.read(HEARTBEAT) {
            let heartbeat: serde_json::Value = serde_json::from_slice(&heartbeat).unwrap();
            assert_eq!(heartbeat["valid"], 60000, "{point}");
        }
        fixture.stepped(&["beat", "60000"], "");
    }
}

#[test]
fn nobody_else_can_read_or_write_what_the_agent_writes() {
    let fixture = Fixture::start();
    fixture.stepped(&["put", "rook-ceph", "public"], "{}");
    fixture.stepped(&["beat", "60000"], "");
    for path in ["/run/rooknet", "/run/rooknet/definitions", "/run/rooknet/definitions/rook-ceph", OBJECT, HEARTBEAT] {
        let mode = fixture.node.ok(&["stat", "--format", "%U %a", path]);
        assert!(["root 700", "root 600"].contains(&mode.trim()), "{path}: {mode}");
    }
}
