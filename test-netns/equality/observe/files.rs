//! Files that IPAM plugins keep, with owner, mode and content.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Map, Value, json};

use crate::support::Node;

/// libcni's own memory of results and configurations, which the caller of a plugin writes and no plugin.
const OF_THE_CALLER: &str = "/var/lib/cni/results";

/// All files and directories below one of the node's directories.
pub(crate) fn below(node: &Node, directory: &str) -> Value {
    let mut found = Map::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for name in node.entries(&directory) {
            let path = format!("{directory}/{name}");
            if path == OF_THE_CALLER {
                continue;
            }
            let metadata = fs::symlink_metadata(node.path(&path)).expect("a file that was just listed");
            let mut seen = json!({
                "mode": format!("{:o}", metadata.mode()),
                "owner": format!("{}:{}", metadata.uid(), metadata.gid()),
            });
            if metadata.is_dir() {
                directories.push(path.clone());
            } else {
                let content = node.read(&path).unwrap_or_default();
                seen["content"] = json!(String::from_utf8_lossy(&content));
            }
            found.insert(path, seen);
        }
    }
    Value::Object(found)
}
