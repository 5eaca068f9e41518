//! The state of one network namespace: links, addresses, routes, rules, permanent neighbours, ports and VLANs of bridges,
//! nftables' rules, and the sysctls that plugins may touch, of all interfaces.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::support::Namespace;

/// One shell for all questions, and few programs: their starts take most of the time. It begins when no address is
/// tentative any more (flag 40, unless it is a duplicate: 8), or else after five seconds: a link that is down keeps them
/// so for ever.
///
/// Neighbours that were learnt come and go with traffic, so only permanent ones are listed.
const SCRIPT: &str = r#"
tentative() {
    while read -r _ _ _ _ flags _; do
        [ $((0x$flags & 0x48)) -ne 64 ] || return 0
    done </proc/net/if_inet6
    return 1
}
tries=0
while [ $tries -lt 50 ] && tentative; do
    tries=$((tries + 1))
    sleep 0.1
done
part() {
    printf '\036%s\037' "$1"
    shift
    "$@"
}
set -e
part "link address route rule4 neighbour" ip -d -j -batch - <<END
link show
address show
route show table all
rule show
neighbour show nud permanent
END
part rule6 ip -j -6 rule show
part vlan bridge -j vlan show
part nft nft -j list ruleset
cd /proc/sys/net
set -- ipv4/ip_forward
for name in accept_redirects arp_announce arp_ignore arp_notify forwarding promote_secondaries proxy_arp rp_filter; do
    set -- "$@" ipv4/conf/*/$name
done
for name in accept_dad accept_ra addr_gen_mode autoconf dad_transmits disable_ipv6 enhanced_dad forwarding \
    keep_addr_on_down ndisc_notify proxy_ndp; do
    set -- "$@" ipv6/conf/*/$name
done
# An interface may go while they are read; what is missing then is a difference, and is looked at again.
part sysctl grep -s '' "$@" || [ $? -eq 2 ]
"#;

/// What was seen, by its part.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<String, String>);

/// Looks into a namespace.
pub(crate) fn look(namespace: &Namespace<'_>) -> Seen {
    let output = namespace.ok(&["sh", "-c", SCRIPT]);
    let mut seen = BTreeMap::new();
    for (names, content) in output.split('\u{1e}').filter_map(|part| part.split_once('\u{1f}')) {
        let names: Vec<&str> = names.split(' ').collect();
        // Several questions to one program: a line of JSON for each.
        let answers: Vec<&str> = if names.len() == 1 { vec![content] } else { content.lines().collect() };
        assert_eq!(answers.len(), names.len(), "{names:?}: {content}");
        seen.extend(names.iter().zip(answers).map(|(name, answer)| ((*name).to_owned(), answer.to_owned())));
    }
    Seen(seen)
}

/// The global addresses that are tentative, each with its interface. Not those of interfaces without duplicate address
/// detection: they are so for a moment, whose length is the machine's; with it, it is a second at least.
pub(crate) fn tentative(namespace: &Namespace<'_>) -> Vec<String> {
    let output = namespace.ok(&["ip", "-6", "-j", "address", "show", "scope", "global", "tentative"]);
    let mut found = Vec::new();
    for link in list(&output) {
        let variable = format!("/proc/sys/net/ipv6/conf/{}/accept_dad", link["ifname"].as_str().unwrap_or_default());
        if namespace.ok(&["cat", &variable]).trim() == "0" {
            continue;
        }
        for address in link["addr_info"].as_array().into_iter().flatten() {
            if let Some(local) = address["local"].as_str() {
                found.push(format!("{} on {}", local, link["ifname"].as_str().unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

impl Seen {
    /// The links as `ip` lists them.
    pub(crate) fn links(&self) -> Vec<Value> {
        self.part("link")
    }

    /// Everything in maps.
    pub(crate) fn by_identity(&self) -> Value {
        if self.0.is_empty() {
            return json!({});
        }
        let text = |item: &Value, key: &str| match &item[key] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let addresses: Map<String, Value> = self
            .part("address")
            .into_iter()
            .map(|link| {
                let of_link = link["addr_info"].as_array().cloned().unwrap_or_default();
                let of_link = keyed(of_link, |item| format!("{}/{}", text(item, "local"), item["prefixlen"]));
                (text(&link, "ifname"), of_link)
            })
            .collect();
        json!({
            "link": keyed(self.links(), |item| text(item, "ifname")),
            "address": addresses,
            "route": keyed(self.part("route"), |item| {
                let [kind, dst, gateway, dev, table, metric] =
                    ["type", "dst", "gateway", "dev", "table", "metric"].map(|key| text(item, key));
                format!("{kind} {dst} via {gateway} dev {dev} table {table} metric {metric}")
            }),
            "rule": {
                "IPv4": keyed(self.part("rule4"), |item| text(item, "priority")),
                "IPv6": keyed(self.part("rule6"), |item| text(item, "priority")),
            },
            "neighbour": keyed(self.part("neighbour"), |item| format!("{} dev {}", text(item, "dst"), text(item, "dev"))),
            "vlan": keyed(self.part("vlan"), |item| text(item, "ifname")),
            "nft": self.nft(),
            "sysctl": self.sysctls(),
        })
    }

    /// Rules are known by their chain and their place in it, everything else by its name.
    fn nft(&self) -> Value {
        let content = self.0.get("nft").map_or("", String::as_str);
        let all: Value = serde_json::from_str(content).unwrap_or_else(|error| panic!("nft: {error}: {content}"));
        let items = all["nftables"].as_array().cloned().unwrap_or_default();
        let items = items.into_iter().filter(|item| item["metainfo"].is_null()).collect();
        keyed(items, |item| {
            let Some((kind, object)) = item.as_object().and_then(|object| object.iter().next()) else {
                return "nothing".to_owned();
            };
            let words = ["family", "table", "chain", "name"].map(|key| object[key].as_str().unwrap_or_default());
            format!("{kind} {}", words.join(" "))
        })
    }

    /// By what they are of (an interface and a family, all of them), so that an interface that is missing is one
    /// difference.
    fn sysctls(&self) -> Value {
        let mut sysctls = json!({});
        for line in self.0.get("sysctl").map_or("", String::as_str).lines() {
            let named = line.split_once(':');
            if let Some((path, value)) = named
                && let Some((subject, name)) = path.rsplit_once('/')
            {
                sysctls[subject][name] = json!(value);
            }
        }
        sysctls
    }

    fn part(&self, name: &str) -> Vec<Value> {
        list(self.0.get(name).map_or("", String::as_str))
    }
}

/// Lists of flags as maps, so that one flag more is one difference.
fn with_flags(mut item: Value) -> Value {
    if let Some(flags) = item["flags"].as_array() {
        let flags: Map<String, Value> =
            flags.iter().filter_map(Value::as_str).map(|flag| (flag.to_owned(), json!(true))).collect();
        item["flags"] = json!(flags);
    }
    item
}

/// An empty list is printed as nothing at all, and some versions print empty objects in between.
fn list(output: &str) -> Vec<Value> {
    if output.trim().is_empty() {
        return Vec::new();
    }
    let items: Vec<Value> = serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"));
    items.into_iter().filter(|item| item.as_object().is_some_and(|object| !object.is_empty())).collect()
}

/// A map of the items; a second one of the same identity is numbered.
fn keyed(items: Vec<Value>, identity: impl Fn(&Value) -> String) -> Value {
    let mut map = Map::new();
    for item in items {
        let key = identity(&item);
        let mut number = 1;
        let mut free = key.clone();
        while map.contains_key(&free) {
            number += 1;
            free = format!("{key} #{number}");
        }
        map.insert(free, with_flags(item));
    }
    Value::Object(map)
}
