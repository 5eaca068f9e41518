//! Which requests fare how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// What happens to a request instead of being answered by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It waits so long, then the rules that follow decide.
    Delay(Duration),
    /// It waits until the test lets go, then the rules that follow decide.
    Hold(Hold),
    /// It is answered with this HTTP status and, maybe, so many seconds in Retry-After; the server does not get it.
    Status(u16, Option<u64>),
    /// It is answered with this status and body; the server does not get it.
    Body(u16, String),
    /// The server answers it, but its client gets half of that, and then the connection is closed.
    Cut,
    /// The server answers it, but its client gets nothing, and the connection is closed.
    Swallow,
    /// Nobody answers, and the connection stays. The server does not get it.
    Never,
    /// It is answered with a body that never ends.
    Endless,
    /// The server answers it, but its client gets it byte by byte, each after so long.
    Drip(Duration),
}

/// What requests wait for. Copies are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Hold(Arc<Semaphore>);

/// A fault for the requests that match, or for the first few of them.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    method: Option<String>,
    path: Option<String>,
    remaining: Option<usize>,
    fault: Fault,
}

/// When connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// After so many requests, announced as HTTP wants it (`Connection: close`, GOAWAY).
    Announced(usize),
    /// After the answer to so many requests, without notice.
    Abrupt(usize),
}

impl Hold {
    /// One that holds.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets go, for good.
    pub(crate) fn release(&self) {
        self.0.close();
    }

    /// Until it is released.
    pub(super) async fn wait(&self) {
        // There are no permits: the only answer is that it was closed.
        let _ = self.0.acquire().await;
    }
}

impl PartialEq for Hold {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Hold {}

impl Rule {
    /// For every request.
    pub(crate) fn new(fault: Fault) -> Self {
        Self { method: None, path: None, remaining: None, fault }
    }

    /// Only for this method.
    pub(crate) fn method(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }

    /// Only where the path contains this.
    pub(crate) fn path(self, part: &str) -> Self {
        Self { path: Some(part.to_owned()), ..self }
    }

    /// Only for the first so many requests that match.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { remaining: Some(times), ..self }
    }

    /// The fault, counted, if the rule is for this request.
    pub(super) fn apply(&mut self, method: &str, path: &str) -> Option<Fault> {
        let is_meant = self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
            && self.remaining != Some(0);
        if !is_meant {
            return None;
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining -= 1;
        }
        Some(self.fault.clone())
    }
}
