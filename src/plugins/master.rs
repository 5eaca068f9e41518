//! The interface on which macvlan and ipvlan build.

use crate::cni::text::quoted;
use crate::cni::{Error, Object};
use crate::kernel::netlink::{Link, Netlink};

use super::Site;
use super::keys::boolean;

/// Which interface a configuration means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Master {
    /// Its name, which may be an alternative one; `None` means the one with the default route.
    pub(super) name: Option<String>,
    /// It is one of the pod's.
    pub(super) in_container: bool,
    /// What was found when the ADD was planned.
    found: Option<Link>,
}

impl Master {
    /// Reads the keys `master` and `linkInContainer`.
    ///
    /// # Errors
    /// Naming the key.
    pub(super) fn parse(config: &Object) -> Result<Self, Error> {
        let name = config.text("master")?;
        let in_container = boolean(config, "linkInContainer")?;
        Ok(Master { name: (!name.is_empty()).then_some(name), in_container, found: None })
    }

    /// One of this name, in the same namespace.
    pub(super) fn named(&self, name: String) -> Self {
        Master { name: Some(name), in_container: self.in_container, found: None }
    }

    /// Looks it up on the node before anything is touched; [`Self::find`] gives it from then on. One of a pod is not
    /// there yet.
    ///
    /// # Errors
    /// Code 7 when it is not there; the kernel's.
    pub(super) async fn prepare(&mut self, node: &Netlink) -> Result<Option<&Link>, Error> {
        if !self.in_container {
            self.found = Some(self.look_up(node).await?.ok_or_else(|| Error::config(self.is_missing()))?);
        }
        Ok(self.found.as_ref())
    }

    /// A socket in the namespace that it is in.
    pub(super) fn netlink<'a>(&self, site: &Site<'a>) -> &'a Netlink {
        if self.in_container { site.pod } else { site.node }
    }

    /// Looks it up, unless that was done.
    ///
    /// # Errors
    /// Code 7 when it is not there; the kernel's.
    pub(super) async fn find(&self, site: &Site<'_>) -> Result<Link, Error> {
        if let Some(found) = &self.found {
            return Ok(found.clone());
        }
        self.look_up(self.netlink(site)).await?.ok_or_else(|| Error::config(self.is_missing()))
    }

    /// Looks one of the node's up; `None` when it is missing.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(super) async fn on_node(&self, node: &Netlink) -> Result<Option<Link>, Error> {
        if self.in_container { Ok(None) } else { self.look_up(node).await }
    }

    /// STATUS: whether it is missing on the node. One of a pod cannot be known beforehand.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(super) async fn status(&self, node: &Netlink) -> Result<Option<String>, Error> {
        if self.in_container || self.found.is_some() || self.look_up(node).await?.is_some() {
            return Ok(None);
        }
        Ok(Some(self.is_missing()))
    }

    async fn look_up(&self, netlink: &Netlink) -> Result<Option<Link>, Error> {
        if let Some(name) = &self.name {
            return Ok(netlink.link_by_any_name(name).await?);
        }
        for ipv6 in [false, true] {
            // As in the reference: the first of the kernel's list.
            let routes = netlink.default_routes_of(ipv6).await?;
            if let Some(index) = routes.into_iter().find_map(|route| route.device) {
                return Ok(netlink.link_by_index(index).await?);
            }
        }
        Ok(None)
    }

    fn is_missing(&self) -> String {
        let place = if self.in_container { "in the pod" } else { "on this node" };
        match &self.name {
            Some(name) => {
                format!("the master {} does not exist {place}: create it, or correct the key \"master\"", quoted(name))
            }
            None => format!(
                "key \"master\" is missing, and there is no default route {place} whose interface would be taken: name it"
            ),
        }
    }
}
