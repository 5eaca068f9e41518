//! What an IPAM plugin answers.
//!
//! Typed, because a main plugin configures the kernel by it, and with the keys that routes have had since CNI 1.1,
//! which [`crate::cni::result`] leaves in the text.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cni::json::to_raw;
use crate::cni::result::CniResult;
use crate::cni::{Error, Object, Version};

/// The addresses of an interface, and what goes with them.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// In the order of the configuration.
    pub addresses: Vec<IpamAddress>,
    /// In the order of the configuration.
    pub routes: Vec<IpamRoute>,
    /// A DNS object (specification, section 5, key `dns`); `None` when nothing is in it.
    pub dns: Option<Box<RawValue>>,
}

/// An address with the gateway of its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpamAddress {
    /// With its prefix length, host bits kept.
    pub address: IpNetwork,
    /// None only for static addresses.
    pub gateway: Option<IpAddr>,
}

/// A route (specification 1.1.0, section 5, key `routes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpamRoute {
    /// Key `dst`, host bits kept.
    pub destination: IpNetwork,
    /// Key `gw`; absent, the gateway of the family's first address is meant.
    pub gateway: Option<IpAddr>,
    /// Key `mtu`, bytes; 0 when it is not given.
    pub mtu: u32,
    /// Key `advmss`, bytes; 0 when it is not given.
    pub advmss: u32,
    /// Key `priority`, the kernel's metric; 0 when it is not given.
    pub priority: u32,
    /// Key `table`; 0 is a value.
    pub table: Option<u32>,
    /// Key `scope`; 0 (universe) is a value.
    pub scope: Option<u8>,
}

impl Answer {
    /// The answer as an IPAM plugin of version 1.1.0 prints it.
    ///
    /// # Errors
    /// None in practice, as [`Object::to_raw`].
    pub fn to_object(&self) -> Result<Object, Error> {
        self.to_object_of(None)
    }

    /// The same with every address on the interface of this index.
    ///
    /// # Errors
    /// None in practice, as [`Object::to_raw`].
    pub(in crate::plugins) fn to_object_of(&self, interface: Option<usize>) -> Result<Object, Error> {
        #[derive(Serialize)]
        struct Ip {
            #[serde(skip_serializing_if = "Option::is_none")]
            interface: Option<usize>,
            address: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            gateway: Option<IpAddr>,
        }
        #[derive(Serialize)]
        struct Route {
            dst: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            gw: Option<IpAddr>,
            #[serde(skip_serializing_if = "is_zero")]
            mtu: u32,
            #[serde(skip_serializing_if = "is_zero")]
            advmss: u32,
            #[serde(skip_serializing_if = "is_zero")]
            priority: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            table: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            scope: Option<u8>,
        }
        let ips: Vec<Ip> = {
            let ip = |ip: &IpamAddress| Ip { interface, address: ip.address.to_string(), gateway: ip.gateway };
            self.addresses.iter().map(ip).collect()
        };
        let route = |route: &IpamRoute| Route {
            dst: route.destination.to_string(),
            gw: route.gateway,
            mtu: route.mtu,
            advmss: route.advmss,
            priority: route.priority,
            table: route.table,
            scope: route.scope,
        };
        let routes: Vec<Route> = self.routes.iter().map(route).collect();
        let mut object = Object::new();
        object.set_value("cniVersion", &Version::V1_1_0.as_str())?;
        if !ips.is_empty() {
            object.set_value("ips", &ips)?;
        }
        if !routes.is_empty() {
            object.set_value("routes", &routes)?;
        }
        if let Some(dns) = &self.dns {
            object.set("dns", dns.clone());
        }
        Ok(object)
    }

    /// The answer in any version, as a main plugin reads it.
    ///
    /// # Errors
    /// Code 6 where the version cannot say it: 0.1.0 and 0.2.0 need an address.
    pub fn to_result(&self, version: Version) -> Result<CniResult, Error> {
        let text = self.to_object()?.to_raw()?;
        CniResult::parse("the IPAM result", text.get(), Version::V1_1_0)?.convert(version)
    }
}

impl TryFrom<&CniResult> for Answer {
    type Error = Error;

    /// What an executed IPAM plugin answered, in any version.
    fn try_from(result: &CniResult) -> Result<Self, Error> {
        let result = result.convert(Version::V1_1_0)?;
        let text = result.to_raw()?;
        let addresses = result.addresses().into_iter();
        Ok(Answer {
            addresses: addresses.map(|ip| IpamAddress { address: ip.address, gateway: ip.gateway }).collect(),
            routes: super::read::routes(&Object::parse("the IPAM result", text.get())?, &mut Vec::new())?,
            dns: result.dns().map(ToOwned::to_owned),
        })
    }
}

/// DNS settings, of which empty ones are left out.
#[derive(Debug, Default, Serialize)]
pub(in crate::plugins) struct Dns {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nameservers: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) domain: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) search: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) options: Vec<String>,
}

impl Dns {
    /// # Errors
    /// None in practice, as [`to_raw`].
    pub(in crate::plugins) fn to_raw(&self) -> Result<Option<Box<RawValue>>, Error> {
        let raw = to_raw(self)?;
        Ok((raw.get() != "{}").then_some(raw))
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
