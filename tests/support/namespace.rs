//! What is in a network namespace, and traffic out of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::call::run;
use super::node::Node;

/// A network namespace on a node: a pod's, or the node's own.
#[derive(Clone)]
pub(crate) struct Namespace<'a> {
    node: &'a Node,
    /// `None`: the node's own.
    name: Option<String>,
}

/// A link, as `ip -d link` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// Its name.
    pub(crate) name: String,
    /// Its index in this namespace.
    pub(crate) index: u64,
    /// `macvlan`, `veth`, `bridge`, …; `loopback` or `ether` where the kernel names no kind.
    pub(crate) kind: String,
    /// Its MAC address.
    pub(crate) mac: String,
    /// Its MTU.
    pub(crate) mtu: u64,
    /// Whether it is set up (not whether it has a carrier).
    pub(crate) up: bool,
    /// Its interface group: `default`, or a number.
    pub(crate) group: String,
    /// All that `ip` said of it.
    pub(crate) all: Value,
}

/// A route of the main table, as `ip route` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// `default`, or the destination with its prefix length.
    pub(crate) destination: String,
    /// The gateway, if it has one.
    pub(crate) gateway: Option<String>,
    /// The interface.
    pub(crate) interface: String,
    /// The metric, if it is not 0.
    pub(crate) metric: Option<u64>,
}

impl<'a> Namespace<'a> {
    pub(super) fn of_node(node: &'a Node) -> Self {
        Self { node, name: None }
    }

    pub(super) fn named(node: &'a Node, name: &str) -> Self {
        Self { node, name: Some(name.to_owned()) }
    }

    /// The node on which it lies.
    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    /// Its path on the node, as CNI_NETNS wants it. The node's own is the path that leads there from any process.
    pub(crate) fn path(&self) -> String {
        match &self.name {
            Some(name) => format!("/run/netns/{name}"),
            None => format!("/proc/{}/ns/net", self.node.pid()),
        }
    }

    /// A command that will run in this network namespace, with the node's files. The child's id is the program's own.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut net = OsString::from("--net");
        if self.name.is_some() {
            net.push("=");
            net.push(self.node.path(&self.path()));
        }
        let mut command = self.node.nsenter(&net);
        command.arg("--").arg(program);
        command
    }

    /// Runs a command here and returns its output; panics, with all that it said, when it fails.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let mut command = self.command(words[0]);
        command.args(&words[1..]);
        run(command, b"").expect_success(&format!("{}: {}", self.label(), words.join(" ")))
    }

    /// Removes the namespace, as a runtime does with a dead pod's.
    pub(crate) fn delete(self) {
        let name = self.name.expect("a node's own namespace goes with the node");
        self.node.ok(&["ip", "netns", "delete", &name]);
    }

    /// All links.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.ip_json(&["-d", "link", "show"]).into_iter().map(Link::from_json).collect()
    }

    /// The names of all links but `lo`, sorted.
    pub(crate) fn interfaces(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.links().into_iter().map(|link| link.name).filter(|name| name != "lo").collect();
        names.sort();
        names
    }

    /// The link `name`; panics when there is none.
    pub(crate) fn link(&self, name: &str) -> Link {
        let links = self.links();
        let names: Vec<String> = links.iter().map(|link| link.name.clone()).collect();
        links
            .into_iter()
            .find(|link| link.name == name)
            .unwrap_or_else(|| panic!("{}: there is no link {name} among {names:?}", self.label()))
    }

    /// The global addresses of an interface, with their prefix lengths, in the kernel's order; none when there is no
    /// such interface.
    pub(crate) fn addresses(&self, interface: &str) -> Vec<String> {
        let mut addresses = Vec::new();
        for link in self.ip_json(&["address", "show"]) {
            if link["ifname"] != interface {
                continue;
            }
            for address in link["addr_info"].as_array().into_iter().flatten() {
                if address["scope"] == "global" {
                    addresses.push(format!("{}/{}", text(&address["local"]), address["prefixlen"]));
                }
            }
        }
        addresses
    }

    /// The first global address of an interface, without its prefix length; panics when there is none.
    pub(crate) fn address(&self, interface: &str) -> String {
        let addresses = self.addresses(interface);
        let first = addresses.first().unwrap_or_else(|| panic!("{}: {interface} has no address", self.label()));
        first.split('/').next().unwrap_or(first).to_owned()
    }

    /// The routes of the main table: first IPv4, then IPv6 without its link-local ones.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let mut routes = self.ip_json(&["-4", "route", "show"]);
        routes.extend(self.ip_json(&["-6", "route", "show"]));
        routes.into_iter().map(Route::from_json).filter(|route| !route.destination.starts_with("fe80::")).collect()
    }

    /// The interface of the default route, IPv4 or IPv6; `None` without a default route.
    pub(crate) fn default_interface(&self, ipv6: bool) -> Option<String> {
        let family = if ipv6 { "-6" } else { "-4" };
        let routes = self.ip_json(&[family, "route", "show", "default"]);
        routes.first().map(|route| text(&route["dev"]))
    }

    /// Whether `address` answers, asked once through `interface` (or whichever way the routes lead), within a second.
    pub(crate) fn ping(&self, address: &str, interface: Option<&str>) -> bool {
        let mut command = self.command("ping");
        command.args(["-n", "-q", "-c", "1", "-W", "1"]);
        if let Some(interface) = interface {
            command.args(["-I", interface]);
        }
        command.arg(address);
        run(command, b"").status.success()
    }

    /// Whether `address` answers within ten seconds: a first packet may be lost to address resolution, and a fresh
    /// IPv6 address cannot be used at once.
    pub(crate) fn reaches(&self, address: &str, interface: Option<&str>) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.ping(address, interface) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// The inode that identifies the namespace while it lives.
    pub(crate) fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let path = if self.name.is_some() { self.node.path(&self.path()) } else { self.path().into() };
        fs::metadata(path).expect("the namespace's file").ino()
    }

    fn ip_json(&self, words: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["ip", "-j"];
        arguments.extend(words);
        let output = self.ok(&arguments);
        // An empty list of routes is printed as nothing at all, and some versions print empty objects in between.
        let list: Vec<Value> = if output.trim().is_empty() {
            Vec::new()
        } else {
            serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output}"))
        };
        list.into_iter().filter(|item| item.as_object().is_some_and(|object| !object.is_empty())).collect()
    }

    fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{} on {}", name, self.node.name()),
            None => self.node.name().to_owned(),
        }
    }
}

impl Link {
    fn from_json(all: Value) -> Self {
        let kind = all["linkinfo"]["info_kind"].as_str().or_else(|| all["link_type"].as_str());
        Self {
            name: text(&all["ifname"]),
            index: all["ifindex"].as_u64().unwrap_or_default(),
            kind: kind.unwrap_or_default().to_owned(),
            mac: text(&all["address"]),
            mtu: all["mtu"].as_u64().unwrap_or_default(),
            up: all["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "UP")),
            group: text(&all["group"]),
            all,
        }
    }

    /// A value of the link's kind, as `ip -d` calls it: `mode` of a macvlan, `id` of a vlan. Numbers come as text too.
    pub(crate) fn data(&self, key: &str) -> Option<String> {
        match &self.all["linkinfo"]["info_data"][key] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

impl Route {
    fn from_json(route: Value) -> Self {
        Self {
            destination: text(&route["dst"]),
            gateway: route["gateway"].as_str().map(str::to_owned),
            interface: text(&route["dev"]),
            metric: route["metric"].as_u64().filter(|&metric| metric != 0),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
