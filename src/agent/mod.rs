//! What keeps a node healthy, for as long as it runs: `rooknetctl agent`, which the DaemonSet runs.
