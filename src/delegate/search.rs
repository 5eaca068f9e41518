//! Where plugins' executables are.
//!
//! As libcni does, the first directory that has a regular file of the type's name wins; unlike libcni, a file that
//! nobody may execute is named as such instead of failing at exec, and a missing one comes with what to install.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Runners;
use crate::cni::network::Network;
use crate::cni::text::{printable, printable_path, without_success_phrases};
use crate::cni::{Code, Error};

/// Checks that every plugin of `network` that is executed, and the IPAM plugin that each names, can be executed from
/// `path`, so that an ADD fails before anything is touched.
///
/// # Errors
/// Code 100, naming type, the directories searched and what to install.
pub fn find_executables(network: &Network, runners: &Runners, path: &[PathBuf]) -> Result<(), Error> {
    for (position, plugin) in network.plugins.iter().enumerate() {
        for type_name in runners.executables(position, plugin) {
            find(type_name, path)
                .map_err(|missing| Error::new(Code::DELEGATE, without_success_phrases(&missing.to_string())))?;
        }
    }
    Ok(())
}

/// The absolute path of the executable for `type_name`.
pub(super) fn find(type_name: &str, path: &[PathBuf]) -> Result<PathBuf, Missing> {
    let missing = |not_executable| Missing {
        type_name: type_name.to_owned(),
        searched: path.iter().filter(|directory| !directory.as_os_str().is_empty()).cloned().collect(),
        not_executable,
    };
    // With a slash the type would leave the directories that the administrator chose.
    if type_name.is_empty() || type_name.contains('/') {
        return Err(missing(None));
    }
    let mut not_executable = None;
    for directory in path.iter().filter(|directory| !directory.as_os_str().is_empty()) {
        let candidate = directory.join(type_name);
        match std::fs::metadata(&candidate) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
                return Ok(std::path::absolute(&candidate).unwrap_or(candidate));
            }
            Ok(found) if found.is_file() => not_executable = not_executable.or(Some(candidate)),
            // Absent, unreadable or a directory: as libcni, go on with the next directory.
            Ok(_) | Err(_) => {}
        }
    }
    Err(missing(not_executable))
}

/// A plugin type without an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The type.
    pub type_name: String,
    /// The directories searched, in order.
    pub searched: Vec<PathBuf>,
    /// A file of that name that nobody may execute.
    pub not_executable: Option<PathBuf>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = printable(&self.type_name);
        if let Some(file) = &self.not_executable {
            return write!(f, "plugin {name} cannot be executed: run chmod 755 {}", printable_path(file));
        }
        if self.searched.is_empty() {
            return write!(f, "plugin {name} cannot be searched for: CNI_PATH and binDir name no directory");
        }
        let directories: Vec<String> = self.searched.iter().map(|directory| printable_path(directory)).collect();
        write!(
            f,
            "plugin {name} is not installed in {}: {}",
            directories.join(" or "),
            what_to_install(&self.type_name)
        )
    }
}

/// What provides a plugin type, as an instruction.
fn what_to_install(type_name: &str) -> &'static str {
    match type_name {
        "bandwidth" | "bridge" | "dhcp" | "dummy" | "firewall" | "host-device" | "host-local" | "ipvlan"
        | "loopback" | "macvlan" | "portmap" | "ptp" | "sbr" | "static" | "tap" | "tuning" | "vlan" | "vrf" => {
            "install the CNI reference plugins (github.com/containernetworking/plugins) there"
        }
        "whereabouts" => "install whereabouts (github.com/k8snetworkplumbingwg/whereabouts) there",
        "sriov" | "ib-sriov" | "ovs" => "install that plugin of github.com/k8snetworkplumbingwg there",
        _ => "install the program that provides it there, or correct the type in the network's configuration",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A directory of this test's own, removed with it.
    struct Directory(PathBuf);
    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rooknet-search-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Directory(path)
        }
        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, "#!/bin/true\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }
    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_first_directory_with_an_executable_file_wins() {
        let (first, second, third) = (Directory::new("a1"), Directory::new("a2"), Directory::new("a3"));
        fs::create_dir(first.0.join("macvlan")).unwrap();
        let expected = second.file("macvlan", 0o755);
        third.file("macvlan", 0o755);
        let path = [PathBuf::new(), first.0.clone(), second.0.clone(), third.0.clone()];
        assert_eq!(find("macvlan", &path).unwrap(), expected);
    }

    #[test]
    fn a_type_never_leaves_the_directories() {
        let directory = Directory::new("b");
        directory.file("evil", 0o755);
        for name in ["", "../evil", "/bin/true", "./evil", ".", ".."] {
            assert!(find(name, &[directory.0.join("x"), directory.0.clone()]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_missing_plugin_names_the_directories_and_what_to_install() {
        let text = find("macvlan", &["/nowhere/a".into(), "/nowhere/b".into()]).unwrap_err().to_string();
        assert!(text.contains("macvlan") && text.contains("/nowhere/a or /nowhere/b"), "{text}");
        assert!(text.contains("containernetworking/plugins"), "{text}");
        assert!(find("whereabouts", &["/nowhere".into()]).unwrap_err().to_string().contains("install whereabouts"));
        assert!(find("mine", &[]).unwrap_err().to_string().contains("CNI_PATH and binDir"));
    }

    #[test]
    fn a_file_that_nobody_may_execute_is_named() {
        let directory = Directory::new("c");
        let file = directory.file("bridge", 0o644);
        let text = find("bridge", std::slice::from_ref(&directory.0)).unwrap_err().to_string();
        assert!(text.contains(&format!("chmod 755 {}", file.display())), "{text}");
    }
}
