//! host-local: addresses of ranges, kept in files on this node.
//!
//! Equal to the reference in results and, byte for byte, in the store, which both use at the same time
//! ([`crate::state::host_local`]). What differs, on purpose:
//!
//! - Cost. The reference opens every file of the store in each ADD and DEL; here a caller with a journal says that
//!   there is no duplicate ([`allocate`]), or which addresses there are ([`release`]).
//! - A failed ADD gives back what it took itself. The reference gives back all that this interface holds, so that a
//!   second ADD, which fails, takes the address of the first one away from under it.
//! - DEL and CHECK create no directory. DEL releases addresses of an old store, which names the container alone, when
//!   none names the interface; the reference does so in any case when there are two range sets or more.
//! - A scan looks at files that are named as addresses; the reference takes any file with the right content for one.
//! - CHECK with known addresses demands that each of them is still the owner's; the reference is content with any.
//! - What the reference does not have: STATUS, which finds a full pool and a directory that cannot be used.
//!
//! There is no GC: nothing is released without a journal that says whose it was, and a journal is released by
//! [`release`].

use std::fmt;
use std::net::IpAddr;

use crate::cni::text::{printable_path, quoted};
use crate::cni::{Code, Error};
use crate::state::deadline::Deadline;
use crate::state::host_local::{LockedStore, Owner, Store};

use super::answer::{Answer, IpamAddress};

mod config;
mod range;
mod resolv_conf;

pub use config::Config;
use config::Requested;
pub use range::{Candidates, Range, RangeSet, Usage};

/// The plugin's type.
pub const TYPE: &str = "host-local";

/// Allocates one address of each range set for `owner`: the one that is asked for, or else the next one that is free.
///
/// `known_free` says that `owner` holds no address of this network, as a caller knows that has just looked for a
/// journal of it; then only files of candidates are looked at. Otherwise all are read, and an address of a set that has
/// no request is an error, as in the reference.
///
/// # Errors
/// Code 7 when an address is asked for that is in no range, or a gateway; 101 when one is another's, or `owner` has one
/// already; 11 when a range set is full; 5 when the store cannot be locked until `deadline` or written. Nothing stays
/// allocated then; `last_reserved_ip` may have moved on.
pub async fn allocate(
    config: &Config,
    owner: Owner<'_>,
    known_free: bool,
    deadline: &Deadline,
) -> Result<Answer, Error> {
    if config.range_sets.is_empty() {
        return Err(config::no_ranges());
    }
    let dns = config.resolv_conf.as_deref().map(resolv_conf::read).transpose()?;
    let store = config.store.lock(deadline).await?;
    let mut addresses = Vec::new();
    if let Err(error) = allocate_all(config, &store, owner, known_free, &mut addresses) {
        let taken: Vec<IpAddr> = addresses.iter().map(|ip: &IpamAddress| ip.address.ip()).collect();
        if !taken.is_empty()
            && let Err(failed) = store.release(owner, &taken)
        {
            log::error!("after an allocation that failed: {failed}");
        }
        return Err(error.within(&format!("host-local in {}", printable_path(config.store.directory()))));
    }
    Ok(Answer { addresses, routes: config.routes.clone(), dns: dns.map(|dns| dns.to_raw()).transpose()?.flatten() })
}

fn allocate_all(
    config: &Config,
    store: &LockedStore,
    owner: Owner<'_>,
    known_free: bool,
    into: &mut Vec<IpamAddress>,
) -> Result<(), Error> {
    let mut requested = config.requested.clone();
    let mut held = known_free.then(Vec::new);
    for (index, set) in config.range_sets.iter().enumerate() {
        let (ip, range) = if let Some(position) = requested.iter().position(|asked| set.range_of(asked.ip).is_some()) {
            reserve_requested(store, owner, set, &requested.remove(position))?
        } else {
            // Read once: what this call adds is of other sets.
            let held = match &held {
                Some(held) => held,
                None => held.insert(store.held_by(owner)?),
            };
            refuse_duplicate(held, owner, set)?;
            reserve_next(store, owner, index, set)?
        };
        if let Some(address) = range.with_prefix(ip) {
            into.push(IpamAddress { address, gateway: Some(range.gateway()) });
        }
        store.note_last(index, ip)?;
    }
    if requested.is_empty() {
        return Ok(());
    }
    let list = requested.iter().map(|asked| format!("{} ({})", asked.ip, asked.place)).collect::<Vec<_>>().join(", ");
    Err(Error::config(format!(
        "{list} cannot be allocated as asked for: each range set gives one address, which must be in one of its ranges"
    )))
}

fn reserve_requested<'a>(
    store: &LockedStore,
    owner: Owner<'_>,
    set: &'a RangeSet,
    asked: &Requested,
) -> Result<(IpAddr, &'a Range), Error> {
    let (ip, place) = (asked.ip, &asked.place);
    let range =
        set.range_of(ip).ok_or_else(|| Error::config(format!("the address {ip} ({place}) is in no range of {set}")))?;
    if ip == range.gateway() {
        return Err(Error::config(format!(
            "the address {ip}, which is asked for ({place}), is the gateway of the range {range}"
        )));
    }
    if store.reserve(owner, ip)? {
        return Ok((ip, range));
    }
    Err(Error::new(Code::EXISTS, format!("the address {ip}, which is asked for ({place}), is taken already")))
}

/// Only for a set without a request: as in the reference, an owner may ask for one address more.
fn refuse_duplicate(held: &[IpAddr], owner: Owner<'_>, set: &RangeSet) -> Result<(), Error> {
    let Some(ip) = held.iter().find(|ip| set.range_of(**ip).is_some()) else { return Ok(()) };
    Err(Error::new(
        Code::EXISTS,
        format!(
            "container {} has the address {ip} for {} already: it must be deleted before it is added again",
            quoted(owner.container_id),
            quoted(owner.ifname)
        ),
    ))
}

fn reserve_next<'a>(
    store: &LockedStore,
    owner: Owner<'_>,
    index: usize,
    set: &'a RangeSet,
) -> Result<(IpAddr, &'a Range), Error> {
    for (ip, range) in set.candidates(store.last(index)) {
        if store.reserve(owner, ip)? {
            return Ok((ip, range));
        }
    }
    Err(Error::new(
        Code::TRY_AGAIN_LATER,
        format!("all addresses of the range set {set} are taken: give the key \"ranges\" a larger one"),
    ))
}

/// Releases the addresses of `owner`, and gives those that it had. `known`, as a journal says them, are looked at
/// alone, so they must be all of them; when there are none (a call that was killed before it noted them, too), every
/// file of the store is read. An address that is another owner's by now stays.
///
/// A DEL whose configuration cannot be parsed any more has the same of [`LockedStore::release`], which needs no ranges.
///
/// # Errors
/// Code 5, when the store cannot be locked until `deadline`, or a file cannot be read or removed; what can be released
/// is.
pub async fn release(
    config: &Config,
    owner: Owner<'_>,
    known: &[IpAddr],
    deadline: &Deadline,
) -> Result<Vec<IpAddr>, Error> {
    // An ADD that could not have the lock, or not write, has nothing to give back: its rollback must not wait once more.
    if known.is_empty() && config.store.has_nothing_of(owner)? {
        return Ok(Vec::new());
    }
    let Some(store) = config.store.lock_existing(deadline).await? else { return Ok(Vec::new()) };
    Ok(store.release(owner, known)?)
}

/// CHECK: whether `owner` holds `known`, as a journal says them; when there are none, whether it holds any address.
///
/// # Errors
/// Code 102, naming the address; 5 when the store cannot be read.
pub async fn check(config: &Config, owner: Owner<'_>, known: &[IpAddr], deadline: &Deadline) -> Result<(), Error> {
    let directory = || printable_path(config.store.directory());
    for ip in known {
        if !config.store.is_held(owner, *ip)? {
            let interface = format!("{} of container {}", quoted(owner.ifname), quoted(owner.container_id));
            let message = format!("the address {ip} is not reserved for {interface} in {} any more", directory());
            return Err(Error::new(Code::CHECK_FAILED, message));
        }
    }
    if !known.is_empty() {
        return Ok(());
    }
    let held = match config.store.lock_existing(deadline).await? {
        None => Vec::new(),
        Some(store) => store.held_by(owner)?,
    };
    if held.is_empty() {
        let interface = format!("{} of container {}", quoted(owner.ifname), quoted(owner.container_id));
        let message = format!("no address is reserved for {interface} in {}", directory());
        return Err(Error::new(Code::CHECK_FAILED, message));
    }
    Ok(())
}

/// What keeps the next ADD from getting its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The directory cannot be made, read or written.
    Unusable {
        /// What the system said, with the path.
        reason: String,
    },
    /// Every address of a range set is taken.
    Full {
        /// Its index, as in `last_reserved_ip.N`.
        range_set: usize,
        /// Its ranges.
        ranges: String,
        /// How many addresses it has to hand out.
        capacity: u128,
        /// Where they are taken.
        directory: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Unusable { reason } => write!(f, "host-local: {reason}"),
            Finding::Full { ranges, capacity, directory, .. } => {
                write!(f, "host-local: all {capacity} addresses of the range set {ranges} are taken in {directory}")
            }
        }
    }
}

/// STATUS: what would make the next ADD fail, by a look at the store without its lock. One listing, no file is opened
/// but in a full range set.
pub fn status(config: &Config) -> Vec<Finding> {
    let store: &Store = &config.store;
    let taken = match store.is_usable().and_then(|()| store.taken()) {
        Ok(taken) => taken,
        Err(error) => return vec![Finding::Unusable { reason: error.to_string() }],
    };
    let is_full = |set: &RangeSet| {
        let counts = |ip: &&IpAddr| set.range_of(**ip).is_some_and(|range| range.gateway() != **ip);
        let count = |taken: usize| u128::try_from(taken).unwrap_or(u128::MAX);
        count(taken.iter().filter(counts).count()) >= set.capacity()
            // What a kill left empty is no obstacle: the next ADD takes it over.
            && !taken.iter().filter(counts).any(|ip| store.is_abandoned(*ip))
    };
    let sets = config.range_sets.iter().enumerate().filter(|(_, set)| is_full(set));
    sets.map(|(range_set, set)| Finding::Full {
        range_set,
        ranges: set.to_string(),
        capacity: set.capacity(),
        directory: printable_path(store.directory()),
    })
    .collect()
}

#[cfg(test)]
#[path = "host_local_tests.rs"]
mod tests;
