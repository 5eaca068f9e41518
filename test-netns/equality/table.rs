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
        covers: |life| life.order != Order::AddByReference && life.case.refused.is_none(),
        paths: &["add / pod / link / eth0 / group"],
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
        id: "check-without-journal",
        case: "CHECK of a container that was attached without rooknet",
        reference: "looks at what is there",
        ours: "fails: the pod must be created anew",
        reason: "A runtime calls CHECK with the configuration of the ADD, so a node that moved to rooknet has lost or \
                 mixed up its state; DEL does work",
        everywhere: false,
        covers: |life| life.order == Order::AddByReference && life.case.version != "0.3.1",
        paths: &["check / succeeded"],
    },
];

/// Whether the case says so, and rooknet attached it.
fn shows(life: &Life<'_>, id: &str) -> bool {
    life.order != Order::AddByReference && life.case.shows.contains(&id)
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
fn no_two_rows_have_one_name_and_none_covers_every_path() {
    for (position, row) in TABLE.iter().enumerate() {
        assert!(TABLE.iter().skip(position + 1).all(|other| other.id != row.id), "{}", row.id);
        assert!(row.paths.iter().all(|path| !path.starts_with('*')), "{} lists too much", row.id);
        assert!([row.case, row.reference, row.ours, row.reason].iter().all(|text| !text.contains('|')), "{}", row.id);
    }
}
