//! Proof of equality: what rooknet does natively, the reference plugin does the same, on a node of its own.
//!
//! For each case ([`cases`]) the reference plugin runs on one of two twin nodes ([`twins`]) and rooknet on the other, from
//! ADD to DEL ([`life`]). What can be seen afterwards ([`observe`]) is compared ([`compare`]); what differs must be in
//! [`table`], and what is in the table must differ.
//!
//! rooknet is given only the programs that it is known to execute for the case ([`cases::Case::executed`]), and each must
//! have run: what it does natively, it cannot have had done in secret.
//!
//! Cases run side by side, many more than there are processors: an IPv6 address takes more than a second to be usable, and
//! one waits for it. `ROOKNET_EQUALITY_CASES`: texts, separated by commas; only cases whose names have one of them are run. `ROOKNET_EQUALITY_THREADS` (12).
//!
//! Tests in the module `vm` need a kernel with ipvlan and 8021q: `make test-vm`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod cases;
mod compare;
mod injected;
mod life;
mod observe;
mod pool;
mod table;
mod twins;

#[test]
fn rooknet_does_what_the_reference_plugins_do() {
    pool::run("matrix", &cases::all());
}

mod vm {
    #[test]
    #[ignore = "needs ipvlan and 8021q: make test-vm"]
    fn rooknet_does_what_the_reference_plugins_do_by_ipvlan_and_vlan() {
        crate::pool::run("virtual machine", &crate::cases::in_the_virtual_machine());
    }
}
