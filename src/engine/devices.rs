//! Devices of the kubelet: which of a pod's devices each of its attachments gets.
//!
//! A definition that names a device plugin's resource needs one of the pod's devices of it. They are handed out in the
//! order of the attachments, the ids sorted, as in Multus: so a second ADD, and any other program that counts the same
//! way, comes to the same result. Where Multus attaches without a device when there are too few, and takes a selection's
//! `deviceID` on the pod's word, nothing is attached here: a plugin without its device fails late or takes a wrong one.

use std::path::PathBuf;

use anyhow::Result;

use super::pod::Pod;
use crate::cni::network::Network;
use crate::cni::text::quoted;
use crate::cni::{Code, Error, Object};
use crate::kubeapi::pod_resources::{self, Devices};
use crate::multinet::definition::RESOURCE_NAME_ANNOTATION;
use crate::state::deadline::Deadline;
use crate::state::device_info::{CAPABILITY, DeviceInfo};
use crate::state::journal::Key;

/// A device that an attachment has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// The resource, as the definition names it.
    pub(super) resource: String,
    /// The id, as the device plugin names it.
    pub(super) id: String,
}

/// What an attachment needs.
#[derive(Clone, Debug)]
pub(super) struct Need {
    /// What to call its network.
    pub(super) display: String,
    /// The resource that its definition names.
    pub(super) resource: Option<String>,
    /// `deviceID` of the pod's selection.
    pub(super) asked: Option<String>,
}

/// The device of each need. The kubelet is asked once, and only when one is needed.
///
/// # Errors
/// Code 7 where no device can be had, our code for "forbidden" for one that is not the pod's, and what the kubelet's
/// answer was wrong with.
pub(super) async fn settle(needs: &[Need], pod: &Pod, deadline: &Deadline) -> Result<Vec<Option<Device>>, Error> {
    for need in needs {
        if let (Some(id), None) = (&need.asked, &need.resource) {
            return Err(Error::config(format!(
                "network {}: the annotation asks for deviceID {}, and the definition has no annotation \
                 {RESOURCE_NAME_ANNOTATION} by which it takes devices: leave the key out, or name the resource there",
                need.display,
                quoted(id)
            )));
        }
    }
    let Some(first) = needs.iter().find(|need| need.resource.is_some()) else { return Ok(vec![None; needs.len()]) };
    if !pod.is_named() {
        return Err(Error::config(format!(
            "network {} needs a device of the resource {}, and the runtime names no pod (CNI_ARGS has no \
             K8S_POD_NAMESPACE and K8S_POD_NAME): only a pod of the kubelet has devices",
            first.display,
            quoted(first.resource.as_deref().unwrap_or_default())
        )));
    }
    let socket = std::path::Path::new(pod_resources::SOCKET);
    let devices = pod_resources::devices(socket, &pod.namespace, &pod.name, deadline)
        .await
        .map_err(|error| error.to_cni().within(&format!("network {}", first.display)))?;
    hand_out(needs, &devices, &pod.reference())
}

/// Those that the pod asks for by their id first, so that no other attachment gets them.
fn hand_out(needs: &[Need], devices: &Devices, pod: &str) -> Result<Vec<Option<Device>>, Error> {
    let mut taken: Vec<Device> = Vec::new();
    for need in needs {
        if let (Some(resource), Some(id)) = (&need.resource, &need.asked) {
            taken.push(asked_for(need, resource, id, devices, &taken, pod)?);
        }
    }
    let mut handed_out = Vec::with_capacity(needs.len());
    for need in needs {
        handed_out.push(match (&need.resource, &need.asked) {
            (None, _) => None,
            (Some(resource), Some(id)) => Some(Device { resource: resource.clone(), id: id.clone() }),
            (Some(resource), None) => {
                let mut ids: Vec<&String> = devices.of(resource).iter().collect();
                ids.sort();
                let free = ids.into_iter().map(|id| Device { resource: resource.clone(), id: id.clone() });
                let device = free.into_iter().find(|device| !taken.contains(device));
                let device = device.ok_or_else(|| too_few(need, resource, needs, devices, pod))?;
                taken.push(device.clone());
                Some(device)
            }
        });
    }
    Ok(handed_out)
}

fn asked_for(
    need: &Need,
    resource: &str,
    id: &str,
    devices: &Devices,
    taken: &[Device],
    pod: &str,
) -> Result<Device, Error> {
    let device = Device { resource: resource.to_owned(), id: id.to_owned() };
    if !devices.of(resource).contains(&device.id) {
        return Err(Error::new(
            Code::FORBIDDEN,
            format!(
                "network {}: the annotation asks for deviceID {}, which is none of pod {pod}'s devices of the resource \
                 {}: the kubelet gave it {}",
                need.display,
                quoted(id),
                quoted(resource),
                listed(devices.of(resource))
            ),
        ));
    }
    if taken.contains(&device) {
        return Err(Error::config(format!(
            "network {}: the annotation asks for deviceID {} a second time: one device is for one network",
            need.display,
            quoted(id)
        )));
    }
    Ok(device)
}

fn too_few(need: &Need, resource: &str, needs: &[Need], devices: &Devices, pod: &str) -> Error {
    let wanted = needs.iter().filter(|need| need.resource.as_deref() == Some(resource)).count();
    Error::config(format!(
        "network {} needs a device of the resource {}: pod {pod} has {} for {wanted} networks, request {wanted} in \
         resources.limits of a container",
        need.display,
        quoted(resource),
        devices.of(resource).len()
    ))
}

/// Ids for a message, the first few.
fn listed(ids: &[String]) -> String {
    const MOST: usize = 8;
    if ids.is_empty() {
        return "none".to_owned();
    }
    let more = if ids.len() > MOST { ", …" } else { "" };
    ids.iter().take(MOST).map(|id| quoted(id)).collect::<Vec<_>>().join(", ") + more
}

/// Tells a network's plugins of the device: in each one's configuration, as in Multus (`addDeviceIDInConfList`; SR-IOV
/// plugins read `deviceID`, host-device reads `pciBusID`), and by runtimeConfig where a plugin declares the capability.
///
/// # Errors
/// None in practice, as [`Object::set_value`].
pub(super) fn grant(device: &Device, network: &mut Network, runtime_config: &mut Object) -> Result<(), Error> {
    for plugin in &mut network.plugins {
        plugin.object.set_value("deviceID", &device.id)?;
        plugin.object.set_value("pciBusID", &device.id)?;
    }
    if network.has_capability("deviceID") {
        runtime_config.set_value("deviceID", &device.id)?;
    }
    Ok(())
}

/// Gives an attachment whose plugins declare [`CAPABILITY`] the path of its device information. What the runtime may
/// have said under that key goes: DEL removes the file that is named there.
///
/// # Errors
/// When container and interface cannot be a file name.
pub(super) fn name_information(network: &Network, key: &Key, runtime_config: &mut Object) -> Result<(), Error> {
    runtime_config.remove(CAPABILITY);
    if network.has_capability(CAPABILITY) {
        runtime_config.set_value(CAPABILITY, &DeviceInfo::default().copy_path(key)?)?;
    }
    Ok(())
}

/// Before the ADD: puts what the device plugin says of the device where the plugins were told to look.
///
/// # Errors
/// When it cannot be written.
pub(super) fn copy_information(device: &Device, runtime_config: &Object) -> Result<(), Error> {
    if let Some(copy) = named_copy(runtime_config) {
        DeviceInfo::default().copy(&device.resource, &device.id, &copy)?;
    }
    Ok(())
}

/// After the DEL: removes the attachment's device information, whoever wrote it.
///
/// # Errors
/// When the system refuses.
pub(super) fn remove_information(runtime_config: &Object) -> Result<(), Error> {
    match named_copy(runtime_config) {
        Some(copy) => Ok(DeviceInfo::default().remove_copy(&copy)?),
        None => Ok(()),
    }
}

/// The path under [`CAPABILITY`], when it is that of a copy: a journal that was taken over from Multus, or holds what a
/// runtime said, may name anything.
fn named_copy(runtime_config: &Object) -> Option<PathBuf> {
    let path: PathBuf = runtime_config.get_as(CAPABILITY).ok().flatten()?;
    DeviceInfo::default().is_copy(&path).then_some(path)
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
