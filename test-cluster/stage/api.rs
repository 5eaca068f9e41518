//! Requests to the cluster's API server, by its administrator.

use std::path::Path;

use http_body_util::BodyExt as _;
use hyper::Request;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// The API server, asked one request after another.
pub(crate) struct Api {
    runtime: Runtime,
    client: Client,
}

/// What an API server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body: JSON, or a string of what is none.
    pub(crate) body: Value,
}

impl Answer {
    /// The body; panics unless the request succeeded.
    #[track_caller]
    pub(crate) fn expect_success(self, what: &str) -> Value {
        assert!((200..300).contains(&self.status), "{what}: {self:?}");
        self.body
    }
}

impl Api {
    /// By the credentials of a kubeconfig.
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the cluster's kubeconfig: run `make cluster`");
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            Client::try_from(config.expect("the cluster's kubeconfig")).unwrap()
        });
        Self { runtime, client }
    }

    /// One request; what went wrong when there is no answer.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header("content-type", content_type);
        }
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Body::from(bytes.into_bytes())).map_err(|error| error.to_string())?;
        self.runtime.block_on(async {
            let response = self.client.send(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
            Ok(Answer { status, body })
        })
    }

    /// The same; panics without an answer.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> Answer {
        self.try_request(method, path, content_type, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// An object or a list; `None` when there is none.
    #[track_caller]
    pub(crate) fn find(&self, path: &str) -> Option<Value> {
        let answer = self.request("GET", path, "", None);
        if answer.status == 404 { None } else { Some(answer.expect_success(&format!("GET {path}"))) }
    }

    /// An object or a list that must be there.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.find(path).unwrap_or_else(|| panic!("GET {path}: there is none"))
    }

    /// A POST that must succeed.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.request("POST", path, "application/json", Some(body)).expect_success(&format!("POST {path}"))
    }

    /// A DELETE; what is gone already is no error.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) {
        let answer = self.request("DELETE", path, "", None);
        if answer.status != 404 {
            answer.expect_success(&format!("DELETE {path}"));
        }
    }
}
