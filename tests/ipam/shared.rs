//! One store, used by many processes of both implementations at once.

use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex};
use std::thread;

use crate::twin::{BOTH, Call, Data, run};

const CONFIG: &str = r#"{"cniVersion": "1.1.0", "name": "pool", "type": "macvlan", "ipam": {"type": "host-local",
    "dataDir": "@DATA@", "ranges": [[{"subnet": "10.1.0.0/25"}], [{"subnet": "2001:db8::/64"}]]}}"#;

const WORKERS: usize = 16;

#[test]
fn sixteen_at_once_by_both_implementations_never_get_an_address_twice() {
    let data = Data::new();
    let start = Barrier::new(WORKERS);
    let live: Mutex<BTreeMap<String, String>> = Mutex::default();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (data, start, live) = (&data, &start, &live);
            scope.spawn(move || {
                start.wait();
                for round in 0..6 {
                    // By turns, so that each deletes what the other added.
                    let (adds, deletes) = (BOTH[(worker + round) % 2], BOTH[(worker + round / 2) % 2]);
                    let container = format!("c{worker}-{round}");
                    let answer = run(adds, data, &Call::new("ADD", &container, CONFIG));
                    assert!(answer.succeeded, "{answer:#?}");
                    for ip in answer.addresses() {
                        let other = live.lock().unwrap().insert(ip.clone(), container.clone());
                        assert_eq!(other, None, "{ip} was given to {container} too");
                    }
                    if round % 2 == 0 {
                        // Noted before it is released: after it, another may have the address already.
                        live.lock().unwrap().retain(|_, holder| *holder != container);
                        assert!(run(deletes, data, &Call::new("DEL", &container, CONFIG)).succeeded);
                    }
                }
            });
        }
    });
    let mut expected: Vec<String> = live.lock().unwrap().keys().map(|ip| format!("pool/{ip}")).collect();
    expected.sort();
    assert_eq!(expected.len(), WORKERS * 3 * 2);
    assert_eq!(data.addresses(), expected);
}
