//! For the tests of this room: a node and its pods, each a namespace of its own, and what a caller of a main plugin does
//! in an ADD. Use within [`in_new_netns`], whose namespace is the node's.

use std::time::Duration;

use serde_json::{Value, json};

use super::interface::settle;
use super::{Choice, Created, Ipam, Native, Site, parse};
use crate::cni::args::Args;
use crate::cni::result::CniResult;
use crate::cni::{Error, Object};
use crate::kernel::netlink::{Netlink, Vlans};
use crate::kernel::netns::Netns;
use crate::kernel::testing::{link_shown, new_netns};
use crate::state::deadline::Deadline;

pub(super) use crate::kernel::testing::{in_new_netns, ip, ip_inside, objects, requests};

/// The pods' interface.
pub(super) const IFNAME: &str = "net1";

/// The interface group of what is made in pods.
pub(super) const GROUP: u32 = 0x7000_0001;

/// The node.
pub(super) struct Node {
    pub(super) netns: Netns,
    pub(super) netlink: Netlink,
    pub(super) deadline: Deadline,
    /// Key `conflictProbe`.
    pub(super) conflict_probe: bool,
}

/// A pod.
pub(super) struct Pod {
    pub(super) netns: Netns,
    pub(super) netlink: Netlink,
}

impl Pod {
    pub(super) fn new() -> Pod {
        let netns = new_netns();
        let netlink = Netlink::inside(&netns).unwrap();
        Pod { netns, netlink }
    }

    /// What `ip -d -j link` says about its interface.
    pub(super) fn link(&self) -> Value {
        link_shown(&self.netns, IFNAME)
    }

    /// Runs `ip` there.
    pub(super) fn ip(&self, arguments: &str) -> String {
        ip_inside(&self.netns, arguments)
    }

    /// What `ip -d -j` prints there.
    pub(super) fn objects(&self, arguments: &str) -> Vec<Value> {
        self.netns.inside(|| objects("ip", arguments)).unwrap()
    }

    /// A variable below /proc/sys/net.
    pub(super) fn variable(&self, path: &str) -> String {
        self.netns.inside(|| variable(path)).unwrap()
    }
}

impl Node {
    pub(super) fn new() -> Node {
        Node {
            netns: Netns::own().unwrap(),
            netlink: Netlink::own().unwrap(),
            deadline: Deadline::without_signals(Duration::from_secs(60)),
            conflict_probe: false,
        }
    }

    pub(super) fn site<'a>(&'a self, pod: &'a Pod) -> Site<'a> {
        Site {
            container_id: "container",
            ifname: IFNAME,
            sandbox: "/run/netns/pod",
            node: &self.netlink,
            netns: &pod.netns,
            pod: &pod.netlink,
            group: GROUP,
            conflict_probe: self.conflict_probe,
            deadline: &self.deadline,
        }
    }

    /// What `ip -d -j link` says about a link of the node.
    pub(super) fn link(&self, name: &str) -> Value {
        link_shown(&self.netns, name)
    }

    /// The VLANs of a port of a bridge, each one by itself.
    pub(super) async fn vlans_of(&self, port: &str) -> Vec<Vlans> {
        let port = self.netlink.link_by_name(port).await.unwrap().unwrap();
        self.netlink.port_vlans(port.index).await.unwrap()
    }

    /// A whole ADD.
    pub(super) async fn add(&self, pod: &Pod, config: &Value) -> Result<CniResult, Error> {
        self.add_behind(pod, config, None).await
    }

    /// An ADD behind the plugin that answered `previous`.
    pub(super) async fn add_behind(
        &self,
        pod: &Pod,
        config: &Value,
        previous: Option<&CniResult>,
    ) -> Result<CniResult, Error> {
        let native = native(config, "")?;
        let created = self.create(pod, &native, previous).await?;
        self.configure(pod, &native, &created, previous).await
    }

    /// The first step of an ADD.
    pub(super) async fn create(
        &self,
        pod: &Pod,
        native: &Native,
        previous: Option<&CniResult>,
    ) -> Result<Created, Error> {
        native.main.create(&self.site(pod), previous).await
    }

    /// The second step, and the wait for its IPv6 addresses.
    pub(super) async fn configure(
        &self,
        pod: &Pod,
        native: &Native,
        created: &Created,
        previous: Option<&CniResult>,
    ) -> Result<CniResult, Error> {
        let answer = match &native.ipam {
            Ipam::None => None,
            Ipam::Static(config) => Some(config.answer()),
            other => panic!("no test in this process has the IPAM {other:?}"),
        };
        let result = native.main.configure(&self.site(pod), created, answer, previous).await?;
        if result.addresses().iter().any(|ip| ip.address.is_ipv6()) {
            settle(&pod.netlink, &created.link, &self.deadline).await?;
        }
        Ok(result)
    }

    /// A CHECK with the result of the ADD.
    pub(super) async fn check(&self, pod: &Pod, config: &Value, previous: &CniResult) -> Result<(), Error> {
        native(config, "")?.main.check(&self.site(pod), previous).await
    }
}

/// The value of a variable below /proc/sys/net, in the namespace of the calling thread.
pub(super) fn variable(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap().trim_end().to_owned()
}

/// A main plugin's configuration with the keys that each one has.
pub(super) fn choice(config: &Value, args: &str) -> Result<Choice<Native>, Error> {
    let mut config = config.clone();
    config["cniVersion"] = json!("1.1.0");
    config["name"] = json!("network");
    let object = Object::parse("the configuration", &config.to_string()).unwrap();
    parse(config["type"].as_str().unwrap(), &object, &Args::parse(args).unwrap())
}

/// As [`choice`], for a configuration that is answered in this process.
pub(super) fn native(config: &Value, args: &str) -> Result<Native, Error> {
    match choice(config, args)? {
        Choice::Native(native) => Ok(native),
        Choice::Executed(reason) => panic!("{config} is executed: {reason}"),
    }
}

/// Why a configuration is executed.
pub(super) fn executed(config: &Value) -> String {
    match choice(config, "").unwrap() {
        Choice::Executed(reason) => reason,
        Choice::Native(native) => panic!("{config} is answered in this process: {native:?}"),
    }
}

/// `config` with the keys of `further`.
pub(super) fn with(config: &Value, further: Value) -> Value {
    let mut config = config.clone();
    for (key, value) in further.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// A result as JSON.
pub(super) fn json_of(result: &CniResult) -> Value {
    serde_json::from_str(result.to_raw().unwrap().get()).unwrap()
}

/// Static addresses, with their gateways where they have one, and routes.
pub(super) fn fixed(addresses: &[(&str, Option<&str>)], routes: Value) -> Value {
    let address = |(address, gateway): &(&str, Option<&str>)| match gateway {
        Some(gateway) => json!({"address": address, "gateway": gateway}),
        None => json!({"address": address}),
    };
    let addresses: Vec<Value> = addresses.iter().map(address).collect();
    json!({"type": "static", "addresses": addresses, "routes": routes})
}
