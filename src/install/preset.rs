//! Where distributions of Kubernetes keep what others have below /opt/cni and /etc/cni.

use std::path::Path;

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

impl Preset {
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
                bin_dir: "/opt/cni/bin",
                conf_dir: "/etc/cni/net.d",
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
