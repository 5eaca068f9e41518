//! Case 4: many pods at once, with rooknet and, where it is given, with Multus.

use std::path::PathBuf;

use crate::stage::{Deployment, Durations, Multus, NODES, Pod, Stage, multus_programs, osd};

/// How many pods; `ROOKNET_CLUSTER_PODS` says more for a longer run.
fn crowd() -> Vec<Pod> {
    let count = std::env::var("ROOKNET_CLUSTER_PODS").map_or(60, |text| text.parse().expect("ROOKNET_CLUSTER_PODS"));
    (0..count).map(|number| osd(200 + number, NODES[number as usize % NODES.len()])).collect()
}

/// Starts a crowd, has a look at it, and deletes it: how long its ADDs and DELs took for the runtime.
#[track_caller]
fn come_and_go(stage: &Stage, pods: &[Pod], look: impl FnOnce()) -> [Durations; 2] {
    let before = ["set_up_pod", "tear_down_pod"].map(|operation| stage.durations(operation));
    stage.create(pods);
    for pod in pods {
        stage.wait_for(&format!("{} runs", pod.name), || stage.api.get(&pod.path())["status"]["phase"] == "Running");
    }
    look();
    stage.delete(pods);
    let after = ["set_up_pod", "tear_down_pod"].map(|operation| stage.durations(operation));
    [after[0].since(&before[0]), after[1].since(&before[1])]
}

#[test]
fn sixty_pods_come_and_go_at_once_and_nothing_is_left() {
    let stage = Stage::deployed();
    let adds = || NODES.map(|node| stage.metric(node, "rooknet_calls_total", "command=\"ADD\""));
    let (before, pods) = (adds(), crowd());
    let [add, del] = come_and_go(&stage, &pods, || {
        // Each was told of three interfaces, and no address was given twice.
        let mut addresses: Vec<String> = Vec::new();
        for pod in &pods {
            let status = stage.network_status(pod);
            assert_eq!(status.as_array().map(Vec::len), Some(3), "{}: {status}", pod.name);
            addresses.extend(["public", "cluster"].map(|network| stage.address(pod, network)));
        }
        let all = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!((all, addresses.len()), (2 * pods.len(), 2 * pods.len()), "addresses were given twice");
    });
    stage.wait_for("the agents' metrics count the calls", || {
        let added: f64 = adds().iter().zip(before).map(|(after, before)| after - before).sum();
        added >= pods.len() as f64
    });
    println!("rooknet: ADD {add}\nrooknet: DEL {del}");
    stage.assert_nothing_left();
}

#[test]
fn the_same_crowd_with_multus_for_a_comparison() {
    let Some(programs): Option<PathBuf> = multus_programs() else {
        println!("skipped: MULTUS= names no directory with multus-daemon and multus-shim");
        return;
    };
    let mut stage = Stage::bare();
    stage.uninstall();
    stage.count();
    let multus = Multus::start(&stage, &programs);
    let [add, del] = come_and_go(&stage, &crowd(), || {});
    println!("Multus thick: ADD {add}\nMultus thick: DEL {del}");
    drop(multus);
    stage.deploy(Deployment::default());
}
