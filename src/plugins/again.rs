//! A pod's link that went with its master, made again: the kernel deletes macvlans and ipvlans with the link on which they
//! stand, in pods too, and gives none back when that comes back.
//!
//! What it was is in two places: the ADD's result has its MAC and addresses, and which routes were kept; the
//! configuration has the master and the mode, and of routes what results below version 1.1.0 cannot say. It is made by
//! the code of an ADD, with the former instead of an IPAM plugin's answer.

use super::ipam::{Answer, read};
use super::native::{Main, Native};
use super::{Created, Site, keys};
use crate::cni::result::CniResult;
use crate::cni::{Error, Object};

/// A link that was there, and is to be made again.
#[derive(Clone, Debug)]
pub struct Again {
    main: Main,
    answer: Option<Answer>,
}

impl Again {
    /// The link of `ifname` that a plugin made by `config` (as on stdin), of which `result` is the network's.
    /// `keeps_default_route` says that the pod's default routes lead through it, though no result says so (they are
    /// dropped from results when they move): then the configuration's own come back.
    ///
    /// # Errors
    /// Code 7 for what this process cannot make again, as a sentence: a bridge's port; a master in the pod, or one that
    /// the configuration does not name; code 6 for a result without the interface.
    pub fn read(
        native: &Native,
        config: &Object,
        result: &CniResult,
        ifname: &str,
        keeps_default_route: bool,
    ) -> Result<Self, Error> {
        let Some(master) = native.main.master_of_node() else {
            return Err(Error::config("its link stands on none of the node's interfaces"));
        };
        if master.name.is_none() {
            return Err(Error::config(
                "its configuration does not name the master, so that it cannot be told whether that is back: name it by \
                 the key \"master\" or \"masterCIDR\", and start the pod anew",
            ));
        }
        let interfaces = result.interfaces();
        let Some(interface) = interfaces.iter().find(|found| found.name == ifname && !found.sandbox.is_empty()) else {
            return Err(Error::decode(format!("its result has no interface {ifname} in a sandbox")));
        };
        let main = match &native.main {
            Main::Macvlan(macvlan) => Main::Macvlan(macvlan.remade(keys::mac(&interface.mac), interface.mtu)),
            Main::Ipvlan(ipvlan) => Main::Ipvlan(ipvlan.remade(interface.mtu)),
            Main::Bridge(_) => return Err(Error::config("its link is a bridge's port")),
        };
        Ok(Again { main, answer: answer(config, result, ifname, keeps_default_route)? })
    }

    /// The kind of the link, as `ip -d link` names it.
    pub fn link_kind(&self) -> &'static str {
        self.main.link_kind()
    }

    /// The name of the master.
    pub fn master_name(&self) -> &str {
        self.main.master_of_node().and_then(|master| master.name.as_deref()).unwrap_or_default()
    }

    /// The first step: the link in the pod, down.
    ///
    /// # Errors
    /// As [`Main::create`].
    pub async fn create(&self, site: &Site<'_>) -> Result<Created, Error> {
        match &self.main {
            Main::Ipvlan(ipvlan) => ipvlan.create_again(site).await,
            main => main.create(site, None).await,
        }
    }

    /// The second step: addresses, link up, routes. IPv6 addresses are tentative then.
    ///
    /// # Errors
    /// As [`Main::configure`].
    pub async fn configure(&self, site: &Site<'_>, created: &Created) -> Result<(), Error> {
        self.main.configure(site, created, self.answer.clone(), None).await.map(drop)
    }
}

/// What the IPAM plugin said, as far as it is known; `None` where the interface had no address.
fn answer(
    config: &Object,
    result: &CniResult,
    ifname: &str,
    keeps_default_route: bool,
) -> Result<Option<Answer>, Error> {
    let addresses = result.addresses_of(ifname);
    if addresses.is_empty() {
        return Ok(None);
    }
    let whole = Answer::try_from(result)?;
    let of_interface = |address: &super::ipam::IpamAddress| {
        addresses.iter().any(|own| own.address == address.address && own.gateway == address.gateway)
    };
    let ipam = config.object("ipam")?.unwrap_or_default();
    // An executed IPAM plugin may have an own form of routes: then the result's are all that is known.
    let written = read::routes(&ipam, &mut Vec::new()).unwrap_or_default();
    let mut routes = whole.routes;
    for route in &mut routes {
        let same = written.iter().find(|written| {
            written.destination == route.destination && (written.gateway.is_none() || written.gateway == route.gateway)
        });
        if let Some(same) = same {
            *route = *same;
        }
    }
    if keeps_default_route {
        let is_known =
            |found: &super::ipam::IpamRoute| routes.iter().any(|route| route.destination == found.destination);
        let missing: Vec<_> =
            written.iter().filter(|route| route.destination.prefix() == 0 && !is_known(route)).copied().collect();
        routes.extend(missing);
    }
    Ok(Some(Answer { addresses: whole.addresses.into_iter().filter(of_interface).collect(), routes, dns: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::Version;

    fn read(config: &str, result: &str, keeps_default_route: bool) -> Answer {
        let config = Object::parse("config", config).unwrap();
        let result = CniResult::parse("result", result, Version::V0_3_1).unwrap();
        answer(&config, &result, "net1", keeps_default_route).unwrap().unwrap()
    }

    const RESULT: &str = r#"{"cniVersion": "0.3.1", "interfaces": [{"name": "net1", "sandbox": "/run/netns/x"}],
        "ips": [{"version": "4", "address": "10.1.0.5/24", "gateway": "10.1.0.1", "interface": 0}],
        "routes": [{"dst": "10.9.0.0/16"}]}"#;

    #[test]
    fn what_an_old_result_cannot_say_of_a_route_is_taken_from_the_configuration() {
        let config =
            r#"{"ipam": {"routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "mtu": 1400, "priority": 7}]}}"#;
        let answer = read(config, RESULT, false);
        assert_eq!(answer.routes.len(), 1, "a default route that went elsewhere stays there: {:?}", answer.routes);
        assert_eq!((answer.routes[0].mtu, answer.routes[0].priority), (1400, 7));
        assert_eq!(answer.addresses[0].gateway, Some("10.1.0.1".parse().unwrap()));
    }

    #[test]
    fn the_owner_of_the_default_route_gets_it_back_from_the_configuration() {
        let config = r#"{"ipam": {"routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16"}]}}"#;
        let destinations = |keeps| {
            read(config, RESULT, keeps).routes.iter().map(|route| route.destination.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(destinations(true), ["10.9.0.0/16", "0.0.0.0/0"]);
        assert_eq!(destinations(false), ["10.9.0.0/16"]);
    }
}
