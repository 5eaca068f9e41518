//! Where distributions of Kubernetes keep what others have below /opt/cni and /etc/cni.

use std::path::Path;

use super::{DEFAULT_BIN_DIR, DEFAULT_CONF_DIR};

/// A distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// k3s
    K3s,
    /// RKE2
    Rke2,
    /// MicroK8s
    Microk8s,
    /// OpenShift
    Openshift,
}

/// The directories and the socket of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The CNI plugins' directory.
    pub bin_dir: &'static str,
    /// The CNI configurations' directory.
    pub conf_dir: &'static str,
    /// The runtime's socket.
    pub socket: &'static str,
}

/// k3s's plugins before October 2024: in a directory of the release, to which `current` is a link.
const OLD_K3S_BIN_DIR: &str = "/var/lib/rancher/k3s/data/current/bin";

/// Where k3s keeps its programs: the plugins' directories, and the files to which their entries are links.
const K3S_DATA: &str = "/var/lib/rancher/k3s/data";

impl Preset {
    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Preset::K3s => "k3s",
            Preset::Rke2 => "rke2",
            Preset::Microk8s => "microk8s",
            Preset::Openshift => "openshift",
        }
    }

    /// The directory that a pod needs of the node to use [`Places::bin_dir`]: the one above it where the programs are
    /// links to files there (<https://docs.k3s.io/networking/multus-ipams>).
    pub fn mounted_bin_dir(self) -> &'static str {
        match self {
            Preset::K3s => K3S_DATA,
            Preset::Rke2 | Preset::Microk8s | Preset::Openshift => self.places().bin_dir,
        }
    }

    /// Whether SELinux and a security context constraint keep an ordinary pod out of these directories.
    pub fn is_constrained(self) -> bool {
        self == Preset::Openshift
    }

    /// Its places. k3s has had a directory of its own for plugins since October 2024 (v1.28.15, 1.29.10, 1.30.6, 1.31.2);
    /// where that is missing, it is the one before.
    pub fn places(self) -> Places {
        match self {
            Preset::K3s => {
                let bin_dir = "/var/lib/rancher/k3s/data/cni";
                Places {
                    bin_dir: if Path::new(bin_dir).is_dir() || !Path::new(OLD_K3S_BIN_DIR).is_dir() {
                        bin_dir
                    } else {
                        OLD_K3S_BIN_DIR
                    },
                    conf_dir: "/var/lib/rancher/k3s/agent/etc/cni/net.d",
                    socket: "/run/k3s/containerd/containerd.sock",
                }
            }
            Preset::Rke2 => Places {
                bin_dir: DEFAULT_BIN_DIR,
                conf_dir: DEFAULT_CONF_DIR,
                socket: "/run/k3s/containerd/containerd.sock",
            },
            Preset::Microk8s => Places {
                bin_dir: "/var/snap/microk8s/current/opt/cni/bin",
                conf_dir: "/var/snap/microk8s/current/args/cni-network",
                socket: "/var/snap/microk8s/common/run/containerd.sock",
            },
            Preset::Openshift => Places {
                bin_dir: "/var/lib/cni/bin",
                conf_dir: "/etc/kubernetes/cni/net.d",
                socket: "/run/crio/crio.sock",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn each_is_called_as_the_command_line_calls_it_and_its_programs_are_in_what_a_pod_mounts() {
        for preset in Preset::value_variants() {
            assert_eq!(preset.to_possible_value().unwrap().get_name(), preset.as_str());
            assert!(Path::new(preset.places().bin_dir).starts_with(preset.mounted_bin_dir()), "{preset:?}");
        }
    }
}
