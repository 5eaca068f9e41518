//! Where networks come from: the seam between the engine, and files and the API server.

use super::definition::Definition;
use crate::cni::Error;
use crate::cni::network::Network;

/// A definition, and where it was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// The definition, its namespace and name filled in.
    pub definition: Definition,
    /// Where it was read (`file /…`), for errors.
    pub origin: String,
}

/// Finds definitions by namespace and name.
#[allow(async_fn_in_trait, reason = "one thread, static dispatch: no Send bound is needed")]
pub trait NetworkSource {
    /// The definition, or `None` when this source does not have it.
    ///
    /// # Errors
    /// Code 7 or 6 for a malformed definition, naming its origin and the key; code 5 or 11 when the source cannot be
    /// read: a network that may exist is never answered with `None`.
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error>;

    /// Where was looked, for the error of a network that no source has (`in networksDir /etc/…`).
    fn described(&self) -> String;
}

/// Finds networks on the node's disk by the configuration's name (`confDir`).
pub trait NodeNetworks {
    /// The configuration of that name, `.conflist` before `.conf`; `None` when there is none.
    ///
    /// # Errors
    /// Code 7 or 6 when the file that names the network is malformed, code 5 when it cannot be read.
    fn by_name(&self, name: &str) -> Result<Option<Network>, Error>;
}
