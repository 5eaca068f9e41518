//! Which interface names a pod's attachments get.
//!
//! All names are settled before the first plugin runs. Multus numbers by position without looking, so that `a@net2,b`
//! fails in the middle of an ADD; here an automatic name skips what anyone in the pod asked for (standard, 4.2.1), and
//! a name asked for twice is refused at once (4.1.2.1.5).

use std::collections::HashSet;

use crate::cni::Error;
use crate::cni::text::quoted;

/// The names of all attachments, in order.
///
/// `first` is CNI_IFNAME, taken by the default network; `requested` is, for each further attachment in order, the name
/// that it asks for. An attachment without a wish gets `net<position>`, counted from 1, or the next higher number
/// whose name is free: neither `first`, nor asked for by any other attachment, nor given to one before.
///
/// # Errors
/// Code 7 when a name is asked for twice, or is `first`, naming both attachments.
pub fn settle(first: &str, requested: &[Option<String>]) -> Result<Vec<String>, Error> {
    let mut taken: HashSet<String> = HashSet::from([first.to_owned()]);
    for (index, name) in requested.iter().enumerate() {
        let Some(name) = name else { continue };
        if !taken.insert(name.clone()) {
            return Err(duplicate(first, requested, index, name));
        }
    }
    let mut names = Vec::with_capacity(requested.len());
    for (position, name) in (1_usize..).zip(requested) {
        let name = match name {
            Some(name) => name.clone(),
            None => free_from(position, &taken),
        };
        taken.insert(name.clone());
        names.push(name);
    }
    Ok(names)
}

/// The first of `net<position>`, `net<position + 1>`, … that is free. One of the first `taken.len() + 1` is.
fn free_from(position: usize, taken: &HashSet<String>) -> String {
    let mut number = position;
    loop {
        let name = format!("net{number}");
        if !taken.contains(&name) {
            return name;
        }
        number = number.saturating_add(1);
    }
}

/// The error of a name that attachment `index` asks for and another one has.
fn duplicate(first: &str, requested: &[Option<String>], index: usize, name: &str) -> Error {
    let position = index.saturating_add(1);
    let shown = quoted(name);
    if name == first {
        return Error::config(format!(
            "interface name {shown} of attachment {position} is CNI_IFNAME, the name of the default network's interface: \
             choose another one"
        ));
    }
    let other = requested.iter().position(|other| other.as_deref() == Some(name)).unwrap_or_default().saturating_add(1);
    Error::config(format!(
        "interface name {shown} is asked for by the attachments {other} and {position}: choose another one for one of them"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wishes(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| (!name.is_empty()).then(|| (*name).to_owned())).collect()
    }

    #[test]
    fn automatic_names_count_positions_from_one() {
        assert_eq!(settle("eth0", &wishes(&["", "public", ""])).unwrap(), ["net1", "public", "net3"]);
        assert_eq!(settle("eth0", &[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn automatic_names_skip_what_anyone_asked_for() {
        assert_eq!(settle("eth0", &wishes(&["net2", ""])).unwrap(), ["net2", "net3"], "Multus fails here");
        assert_eq!(settle("eth0", &wishes(&["", "net1", ""])).unwrap(), ["net2", "net1", "net3"]);
        assert_eq!(settle("net1", &wishes(&["", ""])).unwrap(), ["net2", "net3"]);
    }

    #[test]
    fn a_name_asked_for_twice_is_refused_naming_both() {
        let error = settle("eth0", &wishes(&["a", "", "a"])).unwrap_err();
        assert_eq!(error.code.0, 7);
        assert!(error.message.contains("\"a\"") && error.message.contains("attachments 1 and 3"), "{error}");
    }

    #[test]
    fn the_default_networks_name_is_refused() {
        let error = settle("eth0", &wishes(&["", "eth0"])).unwrap_err();
        assert!(error.message.contains("attachment 2") && error.message.contains("CNI_IFNAME"), "{error}");
    }

    proptest! {
        #[test]
        fn settled_names_are_unique_and_keep_every_wish(
            requested in prop::collection::vec(prop::option::of("net[0-9]|[a-c]"), 0..12)
        ) {
            if let Ok(names) = settle("net1", &requested) {
                let mut all: HashSet<&str> = HashSet::from(["net1"]);
                prop_assert!(names.iter().all(|name| all.insert(name)));
                prop_assert_eq!(names.len(), requested.len());
                for (name, wish) in names.iter().zip(&requested) {
                    prop_assert!(wish.as_ref().is_none_or(|wish| wish == name));
                }
            }
        }
    }
}
