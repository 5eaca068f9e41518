//! Case 3: the faults at which nodes with Multus are lost, provoked one after another. In each: no pod runs without a
//! network that it asked for, and nothing of the pods is left at the end.

use crate::stage::{NODES, Pod, Stage, mon, osd};

mod agent;
mod api;
mod before;
mod master;
mod multus;
mod new_node;
mod primary;
mod reboot;
mod token;
mod uninstall;
mod upgrade;

/// An OSD and a mon on each node, numbered from `first`.
fn wave(first: u32) -> Vec<Pod> {
    let of_node = |(position, node): (u32, &'static str)| {
        let number = first + position;
        [osd(number, node), mon(&format!("m{number}"), node)]
    };
    (0..).zip(NODES).flat_map(of_node).collect()
}

/// OSDs of both nodes meet on the cluster network, as those of [`wave`].
#[track_caller]
fn assert_osds_meet(stage: &Stage, pods: &[Pod]) {
    let [first, _, second, _] = pods else { panic!("a wave has four pods") };
    stage.assert_reaches(first, second, "cluster");
    stage.assert_reaches(second, first, "public");
}
