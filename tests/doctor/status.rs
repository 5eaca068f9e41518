//! What `rooknetctl status` shows of a healthy node.

use serde_json::json;

use crate::fixture::Fixture;
use crate::ward::{CONFLIST, LOG, NODE, Ward};

#[test]
fn status_shows_versions_mode_attachments_and_pools() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let pod = ward.attached("public@storage");
    let report = ward.looks(&["status"]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(report["findings"], json!([]), "{report:#}");
    assert_eq!((&report["node"], &report["rooknetctl"]), (&json!(NODE), &json!(version)));
    assert_eq!(report["plugin"], json!({"path": "/opt/cni/bin/rooknet", "version": version}));
    let configuration = json!({"path": CONFLIST, "name": "k8s-pods", "cniVersion": "1.1.0", "mode": "chained"});
    assert_eq!(report["configuration"], configuration);
    let attachment = &report["attachments"][0];
    assert_eq!((&attachment["container"], &attachment["pod"]), (&json!(pod.id), &json!("rook-ceph/osd")));
    assert_eq!(
        attachment["attachments"],
        json!([{"network": "rook-ceph/public", "interface": "storage", "addresses": ["10.1.0.2/24"]}])
    );
    assert_eq!(
        report["pools"],
        json!([{
            "network": "public", "directory": "/var/lib/cni/networks/public", "range": "10.1.0.1-10.1.0.254",
            "capacity": 253, "used": 1, "free": 252,
        }])
    );
    for key in ["runtime", "draining", "token", "snapshot"] {
        assert!(report[key].is_null(), "{key}: {report:#}");
    }
    assert!(report["notChecked"].to_string().contains("the container runtime"), "{report:#}");

    let outcome = ward.ctl(&["status"]);
    let text = outcome.expect_success("status");
    for part in ["chained", CONFLIST, "rook-ceph/osd", "rook-ceph/public", "10.1.0.2/24", "252", "Not checked"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains('\u{1b}'), "colour where there is no terminal: {text:?}");
    ward.detach(&pod);
}

#[test]
fn looking_changes_nothing() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let pod = ward.attached("public");
    fixture.node.write(LOG, "");
    // The plugin's STATUS, which is asked, is recorded as any call of it.
    let find = "find /var/lib/rooknet /var/lib/cni /run/rooknet /run/rooknet.log /etc/cni -type f ! -name calls.jsonl";
    let listing = || fixture.node.ok(&["sh", "-c", &format!("{find} -exec sha512sum {{}} + | sort -k 2")]);
    let before = listing();
    for command in ["status", "doctor", "attachments"] {
        ward.ctl(&[command]).expect_success(command);
    }
    assert_eq!(listing(), before);
    ward.detach(&pod);
}

#[test]
fn places_are_taken_from_the_command_line_and_from_the_record_of_the_installation() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    fixture.node.ok(&["mv", "/etc/cni/net.d", "/etc/cni/elsewhere"]);
    ward.shows_by(&["status"], "not-installed", &["/etc/cni/net.d"]);
    let report = ward.looks(&["status", "--conf-dir", "/etc/cni/elsewhere"]);
    assert_eq!(report["configuration"]["path"], "/etc/cni/elsewhere/00-rooknet.conflist");
    let record = json!({
        "format": 1, "state": "installed", "version": "0.1.0", "mode": "chained",
        "primary": {"name": "k8s-pods", "file": "10-primary.conflist"}, "binDir": "/opt/cni/bin",
        "confDir": "/etc/cni/elsewhere", "stateDir": "/var/lib/rooknet", "conflist": "00-rooknet.conflist",
    });
    fixture.node.write("/etc/cni/rooknet/install.json", record.to_string());
    let report = ward.looks(&["status"]);
    assert_eq!(report["configuration"]["path"], "/etc/cni/elsewhere/00-rooknet.conflist");
    assert_eq!(report["primary"], json!({"name": "k8s-pods", "file": "10-primary.conflist"}));
}
