//! The harness itself: a difference that is made on purpose on rooknet's node must be found, each by its path. One for
//! everything that is observed.

use serde_json::json;

use crate::cases::Case;
use crate::life::{Life, Moment, Order, names};
use crate::support::run;
use crate::table::{Row, TABLE, judge};
use crate::twins::{Step, Twins};

/// A bridge with IPv4 and IPv6, which has something of everything.
fn bridge() -> Case {
    Case::new(
        "bridge",
        json!({"type": "bridge", "isGateway": true, "ipMasq": true, "ipMasqBackend": "nftables", "ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
            "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.1"}]}}),
    )
}

fn pod(script: &str) -> Step {
    Step::Pod(script.to_owned())
}

fn host(script: &str) -> Step {
    Step::Host(script.to_owned())
}

/// The paths that no row lists after `step`.
fn unlisted(twins: &Twins, moment: Moment, step: Step) -> Vec<String> {
    let case = bridge();
    let life = Life { injected: vec![(moment, step)], ..Life::new(&case, Order::Ours) };
    let report = life.run(twins, TABLE);
    assert!(report.clean, "{:?}", report.problems);
    report.judgement.unlisted.into_iter().map(|difference| difference.path).collect()
}

#[test]
fn whatever_differs_is_found_by_its_path() {
    let lease = "/var/lib/cni/networks/net/10.1.0.2";
    let rule = "nft add table ip injected";
    let table = [
        (Moment::AfterAdd, pod("ip link set eth0 mtu 1400"), "add / pod / link / eth0 / mtu"),
        (Moment::AfterAdd, pod("ip link set eth0 address 02:00:00:00:09:09"), "add / pod / link / eth0 / address"),
        (Moment::AfterAdd, pod("ip address add 10.1.0.200/24 dev eth0"), "add / pod / address / eth0 / 10.1.0.200/24"),
        (
            Moment::AfterAdd,
            pod("ip route del 10.9.0.0/16"),
            "add / pod / route / unicast 10.9.0.0/16 via 10.1.0.1 dev eth0 table main metric -",
        ),
        (
            Moment::AfterAdd,
            pod("ip route change 10.9.0.0/16 via 10.1.0.1 mtu 1300"),
            "add / pod / route / unicast 10.9.0.0/16 via 10.1.0.1 dev eth0 table main metric - / metrics",
        ),
        (
            Moment::AfterAdd,
            pod("ip -6 route add fd00:9::/32 via fd00:1::9 table 100"),
            "add / pod / route / unicast fd00:9::/32 via fd00:1::9 dev eth0 table 100 metric 1024",
        ),
        (Moment::AfterAdd, pod("ip rule add from 10.1.0.2 table 100 priority 99"), "add / pod / rule / IPv4 / 99"),
        (Moment::AfterAdd, pod("ip -6 rule add from fd00:1::2 table 100 priority 98"), "add / pod / rule / IPv6 / 98"),
        (
            Moment::AfterAdd,
            pod("ip neighbour add 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent"),
            "add / pod / neighbour / 10.1.0.9 dev eth0",
        ),
        (
            Moment::AfterAdd,
            pod("echo 0 >/proc/sys/net/ipv4/conf/eth0/arp_notify"),
            "add / pod / sysctl / ipv4/conf/eth0 / arp_notify",
        ),
        (
            Moment::AfterAdd,
            pod("echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_dad"),
            "add / pod / sysctl / ipv6/conf/eth0 / accept_dad",
        ),
        (Moment::AfterAdd, host("echo 0 >/proc/sys/net/ipv4/ip_forward"), "add / host / sysctl / ipv4 / ip_forward"),
        (
            Moment::AfterAdd,
            host("ip link set $(ls /sys/class/net/cni0/brif) type bridge_slave hairpin on"),
            "add / host / link / <veth to the pod> / linkinfo / info_slave_data / hairpin",
        ),
        (Moment::AfterAdd, host("ip link set cni0 promisc on"), "add / host / link / cni0 / flags / PROMISC"),
        (Moment::AfterAdd, host("ip address del 10.1.0.1/24 dev cni0"), "add / host / address / cni0 / 10.1.0.1/24"),
        (Moment::AfterAdd, host(rule), "add / host / nft / table ip   injected"),
        (
            Moment::AfterAdd,
            host(&format!("printf ' ' >>{lease}")),
            "add / files / /var/lib/cni/networks/net/10.1.0.2 / content",
        ),
        (
            Moment::AfterAdd,
            host(&format!("chmod 644 {lease}")),
            "add / files / /var/lib/cni/networks/net/10.1.0.2 / mode",
        ),
        (Moment::AfterAdd, pod("ip link delete eth0"), "check / succeeded"),
        (Moment::AfterDel, host(&format!("touch {lease}")), "del / files / /var/lib/cni/networks/net/10.1.0.2"),
        (Moment::AfterDel, pod("ip link add left0 type veth peer name left1"), "del / pod / link / left0"),
        (Moment::AfterDel, host("ip link add left0 type veth peer name left1"), "del / host / link / left0"),
    ];
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let twins = Twins::start();
                assert_eq!(unlisted(&twins, Moment::AfterAdd, pod("true")), Vec::<String>::new());
                loop {
                    let position = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((moment, step, path)) = table.get(position) else { return };
                    let found = unlisted(&twins, *moment, step.clone());
                    assert!(found.iter().any(|found| found.starts_with(path)), "{step:?}: no {path} in {found:#?}");
                }
            });
        }
    });
}

/// A row of which no case shows anything.
const NEVER: Row = Row {
    id: "never",
    case: "",
    reference: "",
    ours: "",
    reason: "",
    everywhere: false,
    covers: |_| true,
    paths: &["add / pod / link / eth0 / mtu"],
};

#[test]
fn a_listed_difference_that_is_gone_fails_and_one_that_is_there_does_not() {
    let case = bridge();
    let life = Life::new(&case, Order::Ours);
    let gone = judge(&life, &[], &[NEVER]);
    assert_eq!((gone.gone, gone.unlisted.len()), (vec!["never"], 0));
    let mtu = crate::compare::differences("add / pod / link / eth0 / mtu", &json!(1), &json!(2));
    let there = judge(&life, &mtu, &[NEVER]);
    assert_eq!((there.gone.len(), there.intended, there.unlisted.len()), (0, vec!["never"], 0));
    let elsewhere = Row { covers: |_| false, ..NEVER };
    assert_eq!(judge(&life, &mtu, &[elsewhere]).unlisted, mtu, "a row is for its cases only");
}

#[test]
fn a_refusal_that_names_another_key_is_told_from_one_that_names_it() {
    let said = |text: &str| {
        let mut command = std::process::Command::new("echo");
        command.arg(text);
        run(command, b"")
    };
    assert!(names(&said("the key \"mtu\" is -1"), "mtu"));
    assert!(!names(&said("the master's mtus are wrong"), "mtu"));
}

#[test]
fn an_expectation_that_is_not_met_fails() {
    let twins = Twins::start();
    let mut case = bridge();
    case.refused = Some("isGateway");
    let report = Life::new(&case, Order::Ours).run(&twins, TABLE);
    assert!(report.failures().iter().any(|text| text.contains("did not refuse it")), "{:?}", report.failures());
    case.refused = None;
    case.plugin["vlan"] = json!(5000);
    let report = Life::new(&case, Order::Ours).run(&twins, TABLE);
    assert!(report.failures().iter().any(|text| text.contains("refused it")), "{:?}", report.failures());
}
