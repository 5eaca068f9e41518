use serde_json::json;

use super::*;
use crate::state::definitions;
use crate::state::testing::Directory;

/// Bytes of the largest object that the plugin takes, nearly.
const LARGE: usize = 1024 * 1024 - 1024;

fn event(name: &str, size: usize) -> DynamicObject {
    let mut object = DynamicObject::new(name, &definition_kind());
    object.metadata.namespace = Some("tenant".to_owned());
    object.data = json!({"spec": {"config": "x".repeat(size)}});
    object
}

#[test]
fn objects_beyond_what_the_nodes_memory_is_meant_for_are_left_out_and_come_when_there_is_room() {
    let directory = Directory::new();
    let snapshot = Snapshot::new(directory.path());
    let mut known = Known::default();
    let file = |name: &str| definitions::directory(directory.path()).join(format!("tenant/{name}.json"));
    let most = MOST_BYTES / (1024 * 1024);
    for number in 0..most {
        apply(&snapshot, &mut known, Event::InitApply(event(&format!("n{number}"), LARGE))).unwrap();
    }
    assert!(known.left_out.is_empty(), "so many must fit");
    apply(&snapshot, &mut known, Event::Apply(event("more", LARGE))).unwrap();
    assert!(!file("more").exists());
    snapshot.beat(VALID, known.left_out.is_empty()).unwrap();
    assert!(definitions::is_fresh(directory.path()) && !definitions::is_complete(directory.path()));

    // One that has its place may change, and one that grows out of it is no longer there as it was.
    apply(&snapshot, &mut known, Event::Apply(event("n0", LARGE))).unwrap();
    assert!(file("n0").exists());
    apply(&snapshot, &mut known, Event::Apply(event("n0", 2 * LARGE))).unwrap();
    assert!(!file("n0").exists());
    apply(&snapshot, &mut known, Event::Delete(event("n0", 0))).unwrap();
    apply(&snapshot, &mut known, Event::Apply(event("more", LARGE))).unwrap();
    assert!(file("more").exists() && known.left_out.is_empty());
    snapshot.beat(VALID, known.left_out.is_empty()).unwrap();
    assert!(definitions::is_complete(directory.path()));
}
