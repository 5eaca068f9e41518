//! `deploy/kustomize` applied, and the wait until the API server goes by it.

use serde_json::json;

use super::{ADMIN, ApiServer, Cluster, MERGE_PATCH, PATIENCE, project_file};
use crate::support::wait_until;

/// A service account of the plugin's, in kube-system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// With what `rbac.yaml` grants.
    Plain,
    /// With what `events.yaml` grants besides. It is a second installation of the same files under other names, so that
    /// tests of either do not meddle with the other.
    WithEvents,
}

/// The agent's service account, in kube-system.
pub(crate) const AGENT: &str = "rooknet-agent";
/// What the names of the second installation begin with.
const WITH_EVENTS: &str = "eventful";
/// A pod of no node, on which the policy is tried.
const PROBE: &str = "rooknet-probe";

impl Account {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Account::Plain => "rooknet",
            Account::WithEvents => WITH_EVENTS,
        }
    }

    /// The manifests of its installation, without the definition of the network kind.
    pub(crate) fn manifests(self) -> String {
        let mut text = [
            project_file("deploy/kustomize/base/rbac.yaml"),
            project_file("deploy/kustomize/base/admission-policy.yaml"),
        ]
        .join("---\n");
        if self == Account::WithEvents {
            text = [text, project_file("deploy/kustomize/events/events.yaml")]
                .join("---\n")
                .replace("rooknet", WITH_EVENTS);
            // As a word of its own it is what the plugin calls itself in events, whatever its account.
            text = text.replace(&format!("\"{WITH_EVENTS}\""), "\"rooknet\"");
        }
        text
    }
}

impl Cluster {
    /// Applies the rights of `deploy/kustomize` for all accounts and waits until they are in force.
    pub(super) fn install_rights(&self) {
        let definition = project_file("deploy/kustomize/crd/network-attachment-definition.yaml");
        let agent = ["agent-admission-policy", "agent-rbac"]
            .map(|name| project_file(&format!("deploy/kustomize/base/{name}.yaml")))
            .join("---\n");
        self.apply(&[definition, agent, Account::Plain.manifests(), Account::WithEvents.manifests()].join("---\n"));
        self.create_namespace(PROBE);
        self.create_node(PROBE);
        self.create_pod(PROBE, PROBE, "", &json!({}));
        self.wait_until_rights_hold(self.server());
    }

    /// Waits until `server` keeps the agent to what the policies leave of its rights.
    fn wait_until_agent_is_bounded(&self, server: &ApiServer) {
        // Bound to nothing, so that it may do nothing.
        let token = self.token("kube-system", AGENT, None);
        wait_until("the admission policy on nodes", PATIENCE, || {
            let (path, patch) =
                (format!("/api/v1/nodes/{PROBE}?dryRun=All"), json!({"metadata": {"labels": {"a": "b"}}}));
            let answer = server.request("PATCH", &path, &token, MERGE_PATCH, Some(&patch));
            answer.message().contains("ValidatingAdmissionPolicy")
        });
        wait_until("the admission policy on tokens", PATIENCE, || {
            let path = "/api/v1/namespaces/kube-system/serviceaccounts/rooknet/token";
            let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
            let answer = server.request("POST", path, &token, "application/json", Some(&request));
            answer.message().contains("ValidatingAdmissionPolicy")
        });
    }

    /// Waits until `server` knows the network kind and refuses by the policies what RBAC grants: all of it takes effect
    /// some time after it was applied, and after a start.
    pub(crate) fn wait_until_rights_hold(&self, server: &ApiServer) {
        wait_until("the kind NetworkAttachmentDefinition", PATIENCE, || {
            let path = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions?limit=1";
            server.request("GET", path, ADMIN, "", None).is_success()
        });
        self.wait_until_agent_is_bounded(server);
        let pod = format!("/api/v1/namespaces/{PROBE}/pods/{PROBE}/status?dryRun=All");
        let events = format!("/api/v1/namespaces/{PROBE}/events?dryRun=All");
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": PROBE},
            "involvedObject": {"kind": "Pod", "namespace": PROBE, "name": PROBE},
        });
        for account in [Account::Plain, Account::WithEvents] {
            let token = self.token("kube-system", account.name(), None);
            wait_until("the admission policy on pods/status", PATIENCE, || {
                let patch = json!({"metadata": {"labels": {"probe": "1"}}});
                let answer = server.request("PATCH", &pod, &token, MERGE_PATCH, Some(&patch));
                assert!(answer.status < 500, "{answer:?}");
                answer.message().contains("ValidatingAdmissionPolicy")
            });
            if account == Account::WithEvents {
                wait_until("the admission policy on events", PATIENCE, || {
                    let answer = server.request("POST", &events, &token, "application/json", Some(&event));
                    answer.message().contains("ValidatingAdmissionPolicy")
                });
            }
        }
    }
}
