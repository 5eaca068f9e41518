//! The deletion of a whole interface group in one request.
//!
//! The kernel waits once for each request until nobody uses the deleted links any more, some ten milliseconds, however
//! many links it deletes. So the links of a container go together. The request names no link: whoever sends it has
//! looked before at what is in the group.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::Netlink;
use super::socket::Question;
use crate::kernel::Error;

/// How the deletion of a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupDeletion {
    /// Every link of the group is gone.
    Deleted,
    /// No link was in it.
    Empty,
}

impl Netlink {
    /// Deletes all links of an interface group of this netns (IFLA_GROUP), in one request.
    ///
    /// # Errors
    /// [`Error::GroupZero`] for the group of all other links; [`Error::UndeletableInGroup`] when the group has a link
    /// that cannot be deleted (a network card), and then nothing was deleted; errno EPERM without CAP_NET_ADMIN.
    pub async fn delete_group(&self, group: u32) -> Result<GroupDeletion, Error> {
        // The kernel refuses it with the EPERM that also means a missing privilege.
        if group == 0 {
            return Err(Error::GroupZero);
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        let object = format!("the links of interface group {group}");
        let question = Question { operation: "delete", object: &object };
        match self.socket.ask(question, RouteNetlinkMessage::DelLink(message), 0).await {
            Ok(_) => Ok(GroupDeletion::Deleted),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(GroupDeletion::Empty),
            Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Err(Error::UndeletableInGroup { group }),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
