//! What is never the same twice, made the same: the only place where something observed is changed or left out.
//!
//! - **Interface indices** (`ifindex`, `link_index`), **ids of namespaces** (`link_netnsid`): the kernel counts them up.
//!   An index is replaced by the name of the link that it means, which does say something.
//! - **Random MAC addresses**: replaced by the link that has them, so that a MAC in the result is still compared with
//!   the link's. MACs that cases and nodes choose begin with [`CHOSEN_MAC`] and stay.
//! - **A bridge's MAC** where it is that of one of several ports: the kernel takes the lowest, and they are random.
//! - **Link-local addresses** made of random MACs: of a bridge, it may be a MAC that it had only for a moment.
//! - **Random names** of the host's ends of veth pairs: replaced by where the other end is.
//! - **Timers** of bridges and their ports, and their state of the moment: they run. **Ids of bridges and ports**: made
//!   of MACs, or counted up.
//! - **Handles and counters** of nftables: counted up. **Its version**: the machine's, not the plugin's.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::twins::MASTER;

/// How MACs begin that were chosen and are compared as they are.
pub(crate) const CHOSEN_MAC: &str = "02:00:00:";

/// Keys that are left out wherever they occur, for the reasons above.
const LEFT_OUT: [&str; 19] = [
    "ifindex",
    "handle",
    "link_netnsid",
    // Timers and states of the moment.
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "topology_change",
    "topology_change_detected",
    "topology_change_ack",
    "gc_timer",
    "hold_timer",
    "message_age_timer",
    "forward_delay_timer",
    "config_pending",
    // Ids of bridges and ports.
    "bridge_id",
    "root_id",
    "designated_port",
    "designated_bridge",
    "designated_root",
];

/// What has to be replaced in observations of one node.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    /// Names and MACs, with what stands for them.
    texts: BTreeMap<String, String>,
    /// The pod's links by index, and the host's.
    pod: BTreeMap<u64, String>,
    host: BTreeMap<u64, String>,
    /// Bridges whose MAC is a port's.
    borrowing: BTreeMap<String, String>,
}

impl Volatile {
    /// Of the links as `ip -d -j link` lists them, in the pod and on the host.
    pub(crate) fn of(pod: &[Value], host: &[Value]) -> Self {
        let mut volatile = Self::default();
        for link in host {
            let name = text(link, "ifname");
            if is_random_name(name) {
                let peer = if link["link_netnsid"].is_null() { text(link, "link") } else { "the pod" };
                volatile.texts.insert(name.to_owned(), format!("<veth to {peer}>"));
            }
        }
        for (place, links) in [("pod", pod), ("host", host)] {
            // A bridge has the MAC of a port and not the other way round.
            let is_bridge = |link: &&Value| link["linkinfo"]["info_kind"] == "bridge";
            let others = links.iter().filter(|link| !is_bridge(link));
            for link in others.chain(links.iter().filter(is_bridge)) {
                let (name, mac) = (text(link, "ifname"), text(link, "address"));
                let shown = volatile.texts.get(name).cloned().unwrap_or_else(|| name.to_owned());
                let by_index = if place == "pod" { &mut volatile.pod } else { &mut volatile.host };
                by_index.insert(link["ifindex"].as_u64().unwrap_or_default(), format!("{place}'s {shown}"));
                if !is_random_mac(mac) {
                    continue;
                }
                if is_bridge(&link) && links.iter().any(|port| port["master"] == name && port["address"] == mac) {
                    volatile.borrowing.insert(name.to_owned(), mac.to_owned());
                } else {
                    volatile.texts.entry(mac.to_owned()).or_insert_with(|| format!("<mac of {place}'s {shown}>"));
                }
            }
        }
        volatile
    }

    /// The value without what is volatile. `place` is the namespace in which it was seen: `pod`, `host`, or neither.
    pub(crate) fn without(&self, value: &Value, place: &str) -> Value {
        match value {
            Value::Object(object) => Value::Object(self.object(object, place)),
            Value::Array(list) => list.iter().map(|item| self.without(item, place)).collect(),
            Value::String(text) => json!(self.text(text)),
            other => other.clone(),
        }
    }

    fn object(&self, object: &Map<String, Value>, place: &str) -> Map<String, Value> {
        let mut kept = Map::new();
        let name = object.get("ifname").or_else(|| object.get("name")).and_then(Value::as_str).unwrap_or_default();
        let is_port = object.contains_key("designated_port");
        for (key, value) in object {
            let borrowed = || self.borrowing.get(name).is_some_and(|mac| value == mac);
            let value = match key.as_str() {
                key if LEFT_OUT.contains(&key) => continue,
                "id" | "no" if is_port => continue,
                // Its other end is at the switch.
                "link_index" if name == MASTER => json!("the switch"),
                "link_index" => {
                    let other = if place == "pod" { &self.host } else { &self.pod };
                    let index = value.as_u64().unwrap_or_default();
                    json!(other.get(&index).map_or("somewhere else", String::as_str))
                }
                "counter" => json!("counter"),
                "address" | "mac" if borrowed() => json!("<mac of a port>"),
                _ => self.without(value, place),
            };
            kept.insert(self.text(key), value);
        }
        kept
    }

    /// The text with names and MACs replaced.
    pub(crate) fn text(&self, text: &str) -> String {
        // No string but these can have one: MACs have 17 characters, random names 12.
        if text.len() < 12 {
            return text.to_owned();
        }
        let mut replaced = text.to_owned();
        if text.contains("fe80::") {
            replaced = text.split(' ').map(without_link_local).collect::<Vec<_>>().join(" ");
        }
        for (volatile, stable) in &self.texts {
            if replaced.contains(volatile.as_str()) {
                replaced = replaced.replace(volatile.as_str(), stable);
            }
        }
        if is_random_mac(&replaced) { "<mac of no link>".to_owned() } else { replaced }
    }
}

/// A link-local address that the kernel made of a MAC which it had made up, without that; any other word as it is.
fn without_link_local(word: &str) -> String {
    if word.starts_with("fe80::") && word.contains("ff:fe") && !word.starts_with("fe80::ff:fe") {
        let length = word.split_once('/').map(|(_, length)| format!("/{length}")).unwrap_or_default();
        return format!("<link-local>{length}");
    }
    word.to_owned()
}

/// Whether it is a MAC that the kernel made up: such are local and of one station.
fn is_random_mac(text: &str) -> bool {
    let octets: Vec<&str> = text.split(':').collect();
    let is_octet = |octet: &&str| octet.len() == 2 && u8::from_str_radix(octet, 16).is_ok();
    octets.len() == 6
        && octets.iter().all(is_octet)
        && u8::from_str_radix(octets[0], 16).is_ok_and(|first| first & 3 == 2)
        && !text.starts_with(CHOSEN_MAC)
}

/// `veth` and eight hexadecimal digits, as the reference plugins name the host's ends.
fn is_random_name(name: &str) -> bool {
    name.strip_prefix("veth").is_some_and(|rest| rest.len() == 8 && rest.chars().all(|c| c.is_ascii_hexdigit()))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Volatile;

    fn volatile() -> Volatile {
        let veth = json!({"ifname": "veth0a1b2c3d", "ifindex": 7, "address": "8e:11:22:33:44:55", "master": "cni0",
            "link_index": 2, "link_netnsid": 0, "linkinfo": {"info_kind": "veth"}});
        let bridge = json!({"ifname": "cni0", "ifindex": 6, "address": "8e:11:22:33:44:55",
            "linkinfo": {"info_kind": "bridge"}});
        let eth0 = json!({"ifname": "eth0", "ifindex": 2, "address": "fa:00:00:00:00:01", "link_index": 7});
        Volatile::of(&[eth0], &[bridge, veth])
    }

    #[test]
    fn a_mac_is_replaced_by_whose_it_is() {
        let seen = json!({"name": "eth0", "mac": "fa:00:00:00:00:01"});
        assert_eq!(volatile().without(&seen, ""), json!({"name": "eth0", "mac": "<mac of pod's eth0>"}));
        let other = json!({"name": "eth0", "mac": "fa:00:00:00:00:02"});
        assert_eq!(volatile().without(&other, "")["mac"], "<mac of no link>");
        let chosen = json!({"name": "eth0", "mac": "02:00:00:00:00:02"});
        assert_eq!(volatile().without(&chosen, ""), chosen);
    }

    #[test]
    fn a_bridges_mac_is_its_own_or_a_ports() {
        let seen =
            json!([{"name": "cni0", "mac": "8e:11:22:33:44:55"}, {"name": "veth0a1b2c3d", "mac": "8e:11:22:33:44:55"}]);
        let expected = json!([{"name": "cni0", "mac": "<mac of a port>"},
            {"name": "<veth to the pod>", "mac": "<mac of host's <veth to the pod>>"}]);
        assert_eq!(volatile().without(&seen, ""), expected);
    }

    #[test]
    fn an_index_becomes_the_link_that_it_means() {
        let seen = json!({"ifname": "eth0", "ifindex": 2, "link_index": 7});
        let expected = json!({"ifname": "eth0", "link_index": "host's <veth to the pod>"});
        assert_eq!(volatile().without(&seen, "pod"), expected);
        assert_eq!(volatile().without(&json!({"link_index": 99}), "pod")["link_index"], "somewhere else");
    }

    #[test]
    fn a_link_local_address_of_a_chosen_mac_stays() {
        let volatile = volatile();
        assert_eq!(volatile.text("fe80::8c11:22ff:fe33:4455/64"), "<link-local>/64");
        assert_eq!(volatile.text("fe80::ff:fe00:1/64"), "fe80::ff:fe00:1/64");
        assert_eq!(volatile.text("local fe80::8c11:22ff:fe33:4455 dev eth0"), "local <link-local> dev eth0");
        assert_eq!(volatile.text("ipv4/conf/veth0a1b2c3d/x"), "ipv4/conf/<veth to the pod>/x");
    }
}
