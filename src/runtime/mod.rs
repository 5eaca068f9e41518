//! The container runtime, by its interface for the kubelet (CRI, `runtime.v1.RuntimeService`): what it has loaded, and
//! which sandboxes live.
