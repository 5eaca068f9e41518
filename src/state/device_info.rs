//! Device information: what a device plugin tells of a device, in files that it shares with network plugins (the network
//! plumbing group's Device Information Specification; file names as network-attachment-definition-client makes them,
//! `pkg/utils/cniconfig.go`).
//!
//! ```text
//! /var/run/k8s.cni.cncf.io/devinfo/dp/<resource>-<device>-device.json    a device plugin's, never written here
//! /var/run/k8s.cni.cncf.io/devinfo/cni/<containerID>@<ifname>.json       an attachment's copy, for its plugins
//! ```
//!
//! The copy's path goes to plugins that declare the capability [`CAPABILITY`]; they may change the file. It stands in
//! the attachment's journaled runtimeConfig, so whoever undoes the attachment finds it there. Information is no
//! condition of an attachment: what cannot be read is logged and passed over, as in Multus.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::error::Error;
use super::files::{self, Durability};
use super::journal::Key;
use crate::cni::Object;
use crate::cni::text::printable_path;

/// The capability, and the key of runtimeConfig, by which plugins get the path of their attachment's copy.
pub const CAPABILITY: &str = "CNIDeviceInfoFile";

/// Where it all lies. `/var/run` is `/run` on every node of today; plugins are given the path as the specification
/// writes it.
pub const DIRECTORY: &str = "/var/run/k8s.cni.cncf.io/devinfo";

/// Bytes of a file, at most: the largest real ones have a few hundred.
pub const MAX_BYTES: u64 = 64 * 1024;

/// Bytes of a file's name, at most (NAME_MAX).
const MAX_NAME: usize = 255;

/// The device information of a node.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    directory: PathBuf,
}

impl Default for DeviceInfo {
    fn default() -> Self {
        DeviceInfo::new(Path::new(DIRECTORY))
    }
}

impl DeviceInfo {
    /// That in a directory. Nothing is created before the first write.
    pub fn new(directory: &Path) -> Self {
        DeviceInfo { directory: directory.to_owned() }
    }

    /// The path of an attachment's copy: `key` has its own interface name, which no other attachment of the container
    /// has.
    ///
    /// # Errors
    /// [`Error::Name`] for a key that cannot be a file name.
    pub fn copy_path(&self, key: &Key) -> Result<PathBuf, Error> {
        Ok(self.directory.join("cni").join(key.name()? + ".json"))
    }

    /// Copies what the device plugin says of a device to `path`, as [`Self::copy_path`] gave it; whether it says
    /// anything. What stood there is gone in any case: it was a former container's.
    ///
    /// # Errors
    /// When the copy cannot be written; [`Error::Name`] when it is none of ours.
    pub fn copy(&self, resource: &str, device: &str, path: &Path) -> Result<bool, Error> {
        self.remove_copy(path)?;
        let Some(information) = self.of_device(resource, device) else { return Ok(false) };
        files::replace(path, information.get().as_bytes(), Durability::None, "device-info")?;
        Ok(true)
    }

    /// What is known of an attachment's device: its copy, which its plugins may have changed, else the device plugin's
    /// own word. `copy` is the path in its runtimeConfig, `device` the resource and the id.
    pub fn of_attachment(&self, copy: Option<&Path>, device: Option<(&str, &str)>) -> Option<Box<RawValue>> {
        let copied = copy.filter(|path| self.is_copy(path)).and_then(read);
        copied.or_else(|| device.and_then(|(resource, device)| self.of_device(resource, device)))
    }

    /// Removes an attachment's copy, and what a killed writer of it left; Ok when it is gone. The container's lock must
    /// be held.
    ///
    /// # Errors
    /// [`Error::Name`] for a path that is none of a copy: nothing is touched then.
    pub fn remove_copy(&self, path: &Path) -> Result<(), Error> {
        if !self.is_copy(path) {
            return Err(Error::Name { kind: "device-info file", name: printable_path(path) });
        }
        files::collect_temporaries(&self.directory.join("cni"), path.file_name().and_then(OsStr::to_str))?;
        files::remove(path)
    }

    /// Whether a path is that of a file directly in the directory of the copies. Paths in a journal come from a
    /// runtime's runtimeConfig too.
    pub fn is_copy(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| path.as_os_str() == self.directory.join("cni").join(name).as_os_str())
    }

    fn of_device(&self, resource: &str, device: &str) -> Option<Box<RawValue>> {
        let name = format!("{resource}-{device}-device.json").replace('/', "-");
        if name.len() > MAX_NAME || name.contains('\0') {
            log::warn!("no device information is looked for: a resource's or device's name is too long for a file's");
            return None;
        }
        read(&self.directory.join("dp").join(name))
    }
}

/// The object in a file; `None` when there is none, and when it cannot be read.
fn read(path: &Path) -> Option<Box<RawValue>> {
    let content = files::read_bounded(path, MAX_BYTES)
        .inspect_err(|error| log::warn!("device information is passed over: {error}"))
        .ok()??;
    let what = printable_path(path);
    let text = String::from_utf8_lossy(&content);
    Object::parse(&what, &text)
        .and_then(|object| object.to_raw())
        .inspect_err(|error| log::warn!("device information is passed over: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::Directory;

    const RESOURCE: &str = "intel.com/sriov";
    const DEVICE: &str = "0000:18:02.5";
    const PCI: &str = r#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:18:02.5"}}"#;

    fn start() -> (Directory, DeviceInfo, PathBuf) {
        let directory = Directory::new();
        std::fs::create_dir(directory.path().join("dp")).unwrap();
        let info = DeviceInfo::new(directory.path());
        let copy = info.copy_path(&Key { container_id: "c1".into(), ifname: "net1".into() }).unwrap();
        (directory, info, copy)
    }

    fn publish(directory: &Directory, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(directory.path().join("dp").join(name), text).unwrap();
    }

    #[test]
    fn what_a_device_plugin_says_is_copied_read_back_and_removed() {
        let (directory, info, copy) = start();
        publish(&directory, "intel.com-sriov-0000:18:02.5-device.json", PCI);
        assert!(info.copy(RESOURCE, DEVICE, &copy).unwrap());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), PCI);
        assert_eq!(directory.names("cni"), ["c1@net1.json"]);
        std::fs::write(&copy, r#"{"type":"vdpa"}"#).unwrap();
        let of_attachment = |copy| info.of_attachment(copy, Some((RESOURCE, DEVICE))).unwrap().get().to_owned();
        assert_eq!(of_attachment(Some(copy.as_path())), r#"{"type":"vdpa"}"#);
        info.remove_copy(&copy).unwrap();
        info.remove_copy(&copy).unwrap();
        assert_eq!(directory.names("cni"), Vec::<String>::new());
        assert_eq!(of_attachment(Some(copy.as_path())), PCI);
        assert_eq!(of_attachment(None), PCI);
        assert!(info.of_attachment(None, None).is_none());
    }

    #[test]
    fn a_device_without_information_leaves_no_copy_not_even_a_former_one() {
        let (directory, info, copy) = start();
        std::fs::create_dir(directory.path().join("cni")).unwrap();
        std::fs::write(&copy, PCI).unwrap();
        assert!(!info.copy(RESOURCE, DEVICE, &copy).unwrap());
        assert_eq!(directory.names("cni"), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_object_or_too_large_is_passed_over() {
        let (directory, info, copy) = start();
        let large = format!("{{\"type\":\"{}\"}}", "x".repeat(64 * 1024));
        for text in ["", "[]", "null", "{", "\u{0}", &large] {
            publish(&directory, "intel.com-sriov-0000:18:02.5-device.json", text);
            assert!(!info.copy(RESOURCE, DEVICE, &copy).unwrap(), "{text:.20}");
        }
    }

    #[test]
    fn names_never_leave_their_directory() {
        let (directory, info, copy) = start();
        publish(&directory, "..-..-x-..-..-device.json", PCI);
        std::fs::write(directory.path().join("x-device.json"), r#"{"outside":true}"#).unwrap();
        assert!(info.copy("../../x", "../..", &copy).unwrap());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), PCI);
        for (resource, device) in [("a\0", "b"), ("a", &*"b".repeat(300)), ("", "")] {
            assert!(!info.copy(resource, device, &copy).unwrap());
        }
        for container_id in ["", "..", "a/b", "a@b"] {
            assert!(info.copy_path(&Key { container_id: container_id.into(), ifname: "net1".into() }).is_err());
        }
        let victim = directory.path().join("dp").join("..-..-x-..-..-device.json");
        let dotted = directory.path().join("cni/../dp/..-..-x-..-..-device.json");
        let below = directory.path().join("cni/a/b");
        for path in [victim.as_path(), &dotted, &below, &directory.path().join("cni/.."), Path::new("")] {
            assert!(matches!(info.remove_copy(path), Err(Error::Name { .. })), "{}", path.display());
            assert!(info.copy(RESOURCE, DEVICE, path).is_err());
            assert!(info.of_attachment(Some(path), None).is_none());
        }
        assert!(victim.exists());
    }
}
