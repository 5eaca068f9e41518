//! A link in the pod, under its name.

use super::Site;
use crate::cni::text::printable;
use crate::cni::{Code, Error};
use crate::kernel;
use crate::kernel::netlink::{Link, Netlink, NewLink};

/// Before Linux 6.15 the kernel looks for the name of a link that is made from another namespace in that one, too. This
/// name is looked for there by nobody else; a link of it that a kill left is in the caller's interface group.
const TEMPORARY: &str = "rooknet-new";

/// Makes a link in the pod's namespace on `master`; `parent` is a socket in the master's namespace.
///
/// # Errors
/// Code 101 when the pod has a link of that name; the kernel's. All name the master: the kernel's know its ifindex only.
pub(super) async fn create_on(
    master: &Link,
    site: &Site<'_>,
    parent: &Netlink,
    new: &NewLink<'_>,
) -> Result<Link, Error> {
    let about = || format!("on the master {}", printable(&master.name));
    create(site, parent, new).await.map_err(|error| error.within(&about()))
}

async fn create(site: &Site<'_>, parent: &Netlink, new: &NewLink<'_>) -> Result<Link, Error> {
    let in_pod = std::ptr::eq(parent, site.pod);
    let made = if in_pod {
        site.pod.create_link(new).await
    } else {
        parent.create_link_inside(new, site.netns, site.pod).await
    };
    match made {
        Err(kernel::Error::NameTaken { .. }) if !in_pod && !site.pod.is_name_taken(new.name).await? => {
            let temporary = NewLink { name: TEMPORARY, ..*new };
            let link = parent.create_link_inside(&temporary, site.netns, site.pod).await?;
            site.pod.rename_link(link.index, new.name).await?;
            Ok(Link { name: new.name.to_owned(), ..link })
        }
        other => other.map_err(refused),
    }
}

/// What the kernel's refusal of a link in the pod means there.
pub(super) fn refused(error: kernel::Error) -> Error {
    match error {
        kernel::Error::NameTaken { object } => Error::new(
            Code::EXISTS,
            format!(
                "cannot create {object}: the pod has an interface of that name already: choose another name in the \
                 annotation, or delete it"
            ),
        ),
        other => other.into(),
    }
}
