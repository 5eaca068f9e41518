//! Every intended difference, one row each, with the cases that show it. A difference that no row lists fails, and so
//! does a row whose cases do not show it any more. The table in `docs/differences.md` is made of this one.

use std::path::Path;

use crate::compare::{Difference, matches};
use crate::life::{Life, Order};

/// An intended difference.
pub(crate) struct Row {
    /// Its name.
    pub(crate) id: &'static str,
    /// When it is to be seen.
    pub(crate) case: &'static str,
    /// What the reference plugins do.
    pub(crate) reference: &'static str,
    /// What rooknet does.
    pub(crate) ours: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
    /// Whether nearly every case shows it: such a case still counts as equal.
    pub(crate) everywhere: bool,
    /// The cases that must show it.
    pub(crate) covers: fn(&Life<'_>) -> bool,
    /// The paths at which it shows, `*` for anything.
    pub(crate) paths: &'static [&'static str],
}

/// The table.
pub(crate) const TABLE: &[Row] = &[
    Row {
        id: "interface-group",
        case: "The interface's group",
        reference: "the default one",
        ours: "a number of the container's own",
        reason: "One request removes all of a container's links, and nothing else",
        everywhere: true,
        covers: |life| {
            let refused = life.case.refused.is_some() || life.case.only_rooknet_refuses;
            life.order != Order::AddByReference && !refused
        },
        paths: &["add / pod / link / eth0 / group", "second add / pod / link / eth0 / group"],
    },
    Row {
        id: "host-queue-length",
        case: "The queue length of a bridge port's host end",
        reference: "0: a field that is left empty",
        ours: "the kernel's default",
        reason: "It has no queue, so neither has an effect; as a bound of a queue that somebody adds, 0 is none",
        everywhere: true,
        covers: |life| is_native(life) && life.case.kind() == "bridge" && life.case.refused.is_none(),
        paths: &[
            "add / host / link / <veth to *> / txqlen",
            "second add / host / link / <veth to *> / txqlen",
            // Of a VLAN's gateway, which stays.
            "del / host / link / <veth to cni0.*> / txqlen",
        ],
    },
    Row {
        id: "bridge-accepts-routers",
        case: "`accept_ra` of a bridge that is up already",
        reference: "sets it to 0 at every ADD",
        ours: "leaves it; a bridge that it makes or sets up has 0",
        reason: "An administrator's bridge may have its own address by it",
        everywhere: false,
        covers: |life| natively(life, "bridge-accepts-routers"),
        paths: &[
            "add / host / sysctl / ipv6/conf/cni0 / accept_ra",
            "del / host / sysctl / ipv6/conf/cni0 / accept_ra",
        ],
    },
    Row {
        id: "default-route-without-gateway",
        case: "`isDefaultGateway`, and IPAM has a default route without gateway",
        reference: "adds a second default route, which the kernel refuses",
        ours: "takes it for the default route that is asked for",
        reason: "Both say the same",
        everywhere: false,
        covers: |life| natively(life, "default-route-without-gateway"),
        paths: &["add / *", "check / succeeded", "del / host / *"],
    },
    Row {
        id: "refused-and-gone",
        case: "An ADD that fails after the interface is made",
        reference: "leaves it to the runtime's DEL; a retry before finds it there",
        ours: "takes it away again, with its addresses",
        reason: "A runtime may be killed before it calls DEL",
        everywhere: false,
        covers: |life| shows(life, "refused-and-gone"),
        paths: &[
            "add / pod / * / eth0*",
            "add / pod / *dev eth0 *",
            "add / pod / sysctl / */conf/eth0",
            "add / host / *<veth to the pod>*",
            "add / host / * / cni0*",
            "add / host / *dev cni0 *",
            // A duplicate.
            "add / tentative / 0",
            // Of a bridge that had a port for a moment, or for longer.
            "del / host / address / cni0 / fe80*",
            "del / host / address / cni0 / <link-local>*",
            "del / host / link / cni0 / address",
            "del / host / route / * dev cni0 *",
            // Of a macvlan that is up.
            "add / host / link / stor0 / promiscuity",
        ],
    },
    Row {
        id: "refused-and-released",
        case: "An ADD that fails after IPAM, where the plugin does not undo it",
        reference: "leaves the address to the runtime's DEL",
        ours: "releases it",
        reason: "A runtime may be killed before it calls DEL",
        everywhere: false,
        covers: |life| shows(life, "refused-and-released"),
        paths: &["add / files / /var/lib/cni/networks/net/*"],
    },
    Row {
        id: "traces-of-undoing",
        case: "An ADD that fails before IPAM, or before masquerading",
        reference: "calls neither",
        ours: "calls DEL, which makes host-local's directory and lock, or iptables' empty table",
        reason: "Whatever failed, the whole of it is undone: what a plugin did before it failed cannot be known",
        everywhere: false,
        covers: |life| shows(life, "traces-of-undoing"),
        paths: &[
            "add / files / /var/lib/cni/networks",
            "add / files / /var/lib/cni/networks/net",
            "add / files / /var/lib/cni/networks/net/lock",
            "add / host / nft / table *",
        ],
    },
    Row {
        id: "program-missing",
        case: "A program of the network is missing",
        reference: "makes the interface, and neither ADD nor DEL removes it",
        ours: "refuses before anything is made",
        reason: "All programs are looked for first",
        everywhere: false,
        covers: |life| shows(life, "program-missing"),
        paths: &["del / pod / * / eth0", "del / pod / sysctl / */conf/eth0"],
    },
    Row {
        id: "tentative",
        case: "An IPv6 address without gateway",
        reference: "reports it while duplicate address detection still runs: nothing can be bound to it, and a duplicate \
                    is not noticed",
        ours: "awaits the detection, and fails on a duplicate",
        reason: "What an ADD reports can be used",
        everywhere: false,
        covers: |life| natively(life, "tentative"),
        paths: &["add / tentative / *"],
    },
    Row {
        id: "refused-early",
        case: "A configuration that is wrong",
        reference: "makes the interface, and calls IPAM, before it gets to the wrong key; DEL makes host-local's directory",
        ours: "reads all of it before anything is made",
        reason: "Nothing is to be undone then",
        everywhere: false,
        covers: |life| natively(life, "refused-early"),
        paths: &["add / files / /var/lib/cni/networks*", "del / files / /var/lib/cni/networks*"],
    },
    Row {
        id: "refused-for-ever",
        case: "A configuration that a plugin, or its IPAM plugin, cannot read",
        reference: "its DEL is refused too, and the interface stays",
        ours: "makes no interface, and DEL succeeds",
        reason: "A runtime calls DEL until it succeeds, so the pod could never go",
        everywhere: false,
        covers: |life| natively(life, "refused-for-ever"),
        paths: &["del / succeeded", "del / pod / * / eth0", "del / pod / sysctl / */conf/eth0"],
    },
    Row {
        id: "check-of-what-is-there",
        case: "CHECK of a route in a table of its own, of an address whose network is itself, of a bridge without \
               IPAM, or of an ipvlan without `master`",
        reference: "fails: it looks in the main table only, for a route that nothing needs, for an IPAM plugin of no \
                    name, for a master of no name",
        ours: "succeeds",
        reason: "The interface is as the ADD left it",
        everywhere: false,
        covers: |life| natively(life, "check-of-what-is-there"),
        paths: &["check / succeeded"],
    },
    Row {
        id: "no-carrier",
        case: "An IPv6 address on a link without carrier",
        reference: "reports it, though it stays tentative until there is a carrier",
        ours: "fails after five seconds, and says so",
        reason: "What an ADD reports can be used",
        everywhere: false,
        covers: |life| natively(life, "no-carrier"),
        paths: &["add / *", "check / succeeded"],
    },
    Row {
        id: "nobodys-address",
        case: "IPAM gives 0.0.0.0",
        reference: "reports it; the kernel has given the interface none",
        ours: "fails, and says so",
        reason: "What an ADD reports can be used",
        everywhere: false,
        covers: |life| natively(life, "nobodys-address"),
        paths: &["add / *", "check / succeeded"],
    },
    Row {
        id: "route-metrics",
        case: "A route with `mtu` or `advmss`",
        reference: "passes over them",
        ours: "sets them",
        reason: "The specification has them since 1.1.0",
        everywhere: false,
        covers: |life| is_native(life) && life.case.refused.is_none() && life.case.has_route_with(&["mtu", "advmss"]),
        paths: &["add / pod / route / * / metrics"],
    },
    Row {
        id: "check-of-each-lease",
        case: "CHECK, where one of several addresses is not reserved any more",
        reference: "is content with any",
        ours: "fails, naming it",
        reason: "Another pod may get that address",
        everywhere: false,
        covers: |life| natively(life, "check-of-each-lease"),
        paths: &["check / succeeded"],
    },
    Row {
        id: "del-makes-no-store",
        case: "DEL, where host-local's directory is gone",
        reference: "makes it anew",
        ours: "does not",
        reason: "There is nothing to release",
        everywhere: false,
        covers: |life| natively(life, "del-makes-no-store"),
        paths: &["del / files / /var/lib/cni/networks/net", "del / files / /var/lib/cni/networks/net/lock"],
    },
    Row {
        id: "del-without-master",
        case: "DEL of an ipvlan without `master`, where the default route is gone (up to version 0.3.1)",
        reference: "is refused, and the interface and its addresses stay",
        ours: "deletes the interface, and releases its addresses",
        reason: "A runtime calls DEL until it succeeds, and needs no master for it",
        everywhere: false,
        covers: |life| natively(life, "del-without-master"),
        paths: &["del / succeeded", "del / pod / *", "del / files / /var/lib/cni/networks/net/*"],
    },
    Row {
        id: "link-of-another",
        case: "The pod replaced its interface by one of another kind",
        reference: "deletes what has the name",
        ours: "leaves what it did not make; it goes with the pod",
        reason: "Nothing is deleted that may be somebody's",
        everywhere: false,
        covers: |life| natively(life, "link-of-another"),
        paths: &[
            "del / pod / * / eth0",
            "del / pod / * / x0",
            "del / pod / * / x",
            "del / pod / sysctl / */conf/eth0",
            "del / pod / sysctl / */conf/x0",
            "del / pod / sysctl / */conf/x",
        ],
    },
    Row {
        id: "renamed",
        case: "The pod renamed its interface",
        reference: "finds nothing to delete",
        ours: "deletes it",
        reason: "Links are known by more than their names; its address is free for others after the DEL",
        everywhere: false,
        covers: |life| shows(life, "renamed"),
        paths: &["del / pod / * / x0", "del / pod / * dev x0 *", "del / pod / sysctl / */conf/x0"],
    },
    Row {
        id: "check-without-journal",
        case: "CHECK of a container that was attached without rooknet",
        reference: "looks at what is there",
        ours: "fails: the pod must be created anew",
        reason: "A runtime calls CHECK with the configuration of the ADD, so a node that moved to rooknet has lost or \
                 mixed up its state; DEL does work",
        everywhere: false,
        covers: |life| life.order == Order::AddByReference && life.case.version != "0.3.1" && !life.case.check_fails,
        paths: &["check / succeeded"],
    },
];

/// Whether the case says so, and rooknet attached it.
fn shows(life: &Life<'_>, id: &str) -> bool {
    life.order != Order::AddByReference && life.case.shows.contains(&id)
}

/// The same, and did so itself.
fn natively(life: &Life<'_>, id: &str) -> bool {
    shows(life, id) && is_native(life)
}

/// Whether the ADD is rooknet's own.
fn is_native(life: &Life<'_>) -> bool {
    matches!(life.order, Order::Ours | Order::AddByOurs) && life.case.is_native()
}

/// What of `differences` no row lists, and each row that should have shown and did not.
pub(crate) fn judge(life: &Life<'_>, differences: &[Difference], rows: &[Row]) -> Judgement {
    let mut judgement = Judgement::default();
    let covering: Vec<&Row> = rows.iter().filter(|row| (row.covers)(life)).collect();
    let lists = |row: &Row, difference: &Difference| row.paths.iter().any(|path| matches(path, &difference.path));
    for difference in differences {
        if !covering.iter().any(|row| lists(row, difference)) {
            judgement.unlisted.push(difference.clone());
        }
    }
    for row in covering {
        if differences.iter().any(|difference| lists(row, difference)) {
            judgement.intended.push(row.id);
        } else {
            judgement.gone.push(row.id);
        }
    }
    judgement
}

/// What the table says of the differences of one life.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Differences that no row lists.
    pub(crate) unlisted: Vec<Difference>,
    /// Rows that were seen.
    pub(crate) intended: Vec<&'static str>,
    /// Rows that should have been seen.
    pub(crate) gone: Vec<&'static str>,
}

const BEGIN: &str = "<!-- begin: made from test-netns/equality/table.rs; UPDATE_DOCUMENTS=1 cargo test --features \
                     fault-injection --test equality documented -->";
const END: &str = "<!-- end -->";

/// The table as Markdown.
fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("| Case | Reference plugin | rooknet | Reason |\n|---|---|---|---|\n");
    for row in rows {
        text.push_str(&format!("| {} | {} | {} | {} |\n", row.case, row.reference, row.ours, row.reason));
    }
    text
}

#[test]
fn the_documented_differences_are_those_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md");
    let document = std::fs::read_to_string(&path).expect("docs/differences.md");
    let (before, rest) = document.split_once(BEGIN).expect("docs/differences.md has the line that begins the table");
    let (documented, after) = rest.split_once(END).expect("docs/differences.md has the line that ends the table");
    let expected = format!("\n\n{}\n", markdown(TABLE));
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).expect("write docs/differences.md");
    } else {
        assert_eq!(documented, expected, "docs/differences.md: run this with UPDATE_DOCUMENTS=1");
    }
}

#[test]
fn every_difference_that_a_case_shows_has_a_row() {
    let cases = crate::cases::all().into_iter().chain(crate::cases::in_the_virtual_machine());
    for case in cases {
        let known = |id: &&str| TABLE.iter().any(|row| row.id == *id);
        assert!(case.shows.iter().all(known), "{}: {:?}", case.name, case.shows);
    }
}

#[test]
fn no_two_rows_have_one_name_and_none_covers_every_path() {
    for (position, row) in TABLE.iter().enumerate() {
        assert!(TABLE.iter().skip(position + 1).all(|other| other.id != row.id), "{}", row.id);
        assert!(row.paths.iter().all(|path| !path.starts_with('*')), "{} lists too much", row.id);
        assert!([row.case, row.reference, row.ours, row.reason].iter().all(|text| !text.contains('|')), "{}", row.id);
    }
}
