//! rooknetctl is killed (SIGKILL) at every point that it passes: the node can start pods all the same, and a second run
//! finishes what was begun.

use std::process::Command;

use crate::machine::{Machine, OURS, PLUGIN, points};
use crate::support::run;

/// Runs a command that is killed at `point`.
#[track_caller]
fn killed(mut command: Command, point: &str) {
    command.env("ROOKNET_FAULT", point);
    let outcome = run(command, b"");
    assert!(outcome.status.code().is_none(), "it was not killed at {point}: {outcome}");
}

#[track_caller]
fn assert_has(points: &[String], expected: &[&str]) {
    for point in expected {
        assert!(points.iter().any(|passed| passed == &format!("kill:{point}")), "{point} is not in {points:?}");
    }
}

#[test]
fn a_killed_install_is_finished_by_the_next() {
    let machine = Machine::start();
    let install = || machine.command("install", &[]);
    let points = points(&machine, install());
    assert_has(
        &points,
        &[
            "install-record.renamed",
            "plugin.begin",
            "plugin.written",
            "plugin.kept",
            "plugin.renamed",
            "plugin.settled",
            "conflist.written",
            "conflist.renamed",
        ],
    );
    let expected = machine.json(OURS);
    for point in points {
        machine.uninstall(&[]);
        killed(install(), &point);
        machine.assert_loadable(&point);
        machine.ctl("install", &[]).expect_success(&format!("install after {point}"));
        assert_eq!(machine.json(OURS), expected, "after {point}");
        machine.assert_answers();
        let left = [machine.node.entries("/opt/cni/bin"), machine.node.entries("/etc/cni/net.d")].concat();
        assert!(!left.iter().any(|name| name.starts_with(".rooknet")), "after {point}: {left:?}");
    }
}

#[test]
fn a_killed_upgrade_leaves_a_plugin_that_answers() {
    let machine = Machine::start();
    machine.install(&[]);
    let next = machine.other_plugin();
    let upgrade = || machine.command("install", &["--plugin", &next]);
    let points = points(&machine, upgrade());
    assert_has(&points, &["plugin.written", "plugin.kept", "plugin.renamed", "plugin.synced", "plugin.settled"]);
    for point in points {
        machine.ctl("install", &[]).expect_success("the former plugin again");
        killed(upgrade(), &point);
        machine.assert_answers();
        run(upgrade(), b"").expect_success(&format!("upgrade after {point}"));
        assert_eq!(machine.node.read(PLUGIN), machine.node.read(&next), "after {point}");
        let left = machine.node.entries("/opt/cni/bin");
        assert!(!left.iter().any(|name| name.starts_with(".rooknet")), "after {point}: {left:?}");
    }
}

#[test]
fn a_killed_uninstall_is_finished_by_the_next() {
    let machine = Machine::start();
    let uninstall = || machine.command("uninstall", &[]);
    machine.install(&[]);
    let points = points(&machine, uninstall());
    assert_has(
        &points,
        &[
            "install-record.renamed",
            "draining.renamed",
            "conflist-remove.removed",
            "plugin-remove.removed",
            "uninstall.run-dir",
            "install-record-remove.removed",
            "draining-end.removed",
        ],
    );
    for point in points {
        machine.install(&[]);
        killed(uninstall(), &point);
        machine.assert_loadable(&point);
        run(uninstall(), b"").expect_success(&format!("uninstall after {point}"));
        machine.assert_gone();
    }
}
