//! What the API server was asked, from its audit log.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

/// The user whose token the plugin has.
pub(crate) const PLUGIN: &str = "system:serviceaccount:kube-system:rooknet";

/// The audit log, from some moment on.
pub(crate) struct Audit {
    path: PathBuf,
    from: u64,
}

impl Audit {
    /// What is asked from now on.
    pub(super) fn from_now(path: PathBuf) -> Self {
        let from = path.metadata().map_or(0, |metadata| metadata.len());
        Self { path, from }
    }

    /// The requests of a user so far, as `patch pods/status rook-ceph/osd-0 200`, in the order of their answers.
    pub(crate) fn requests(&self, user: &str) -> Vec<String> {
        let mut text = String::new();
        let mut file = File::open(&self.path).expect("the audit log");
        file.seek(SeekFrom::Start(self.from)).unwrap();
        file.read_to_string(&mut text).unwrap();
        let events = text.lines().filter(|line| line.contains(user)).filter_map(|line| serde_json::from_str(line).ok());
        events
            .filter(|event: &Value| event["stage"] == "ResponseComplete" && event["user"]["username"] == user)
            .map(|event| {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let object = &event["objectRef"];
                let subresource = object["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
                format!(
                    "{} {}{subresource} {}/{} {}",
                    word(&event["verb"]),
                    word(&object["resource"]),
                    word(&object["namespace"]),
                    word(&object["name"]),
                    event["responseStatus"]["code"]
                )
            })
            .collect()
    }
}
