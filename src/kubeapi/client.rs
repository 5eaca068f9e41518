//! Requests and their answers, over one connection that is opened when it is first needed.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connect::{Bounds, Target};
use super::credentials::{Credentials, Source, Token};
use super::error::Error;
use super::exchange::exchange;
use super::failure::{Failure, Refusal};
use super::pool::{Pool, locked};
use super::retry::Backoff;
use crate::cni;
use crate::state::deadline::{Deadline, Reason};

/// The HTTP status of a request whose credentials the server does not accept.
const UNAUTHORIZED: u16 = 401;

/// The verbs that the plugin has rights for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Change a part, by a JSON merge patch (RFC 7396).
    Patch,
    /// Create.
    Post,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The verb.
    pub method: Method,
    /// The absolute path; its parts are checked names, so that nothing in it needs escaping.
    pub path: &'a str,
    /// What to call it in errors (`GET pod rook-ceph/osd-0`).
    pub about: &'a str,
    /// JSON; empty for [`Method::Get`].
    pub body: &'a [u8],
    /// Bytes of an answer, at most.
    pub limit: usize,
    /// When to give up, retries included.
    pub deadline: &'a Deadline,
}

/// An answer with a 2xx status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// The server that gave it, as errors name it.
    pub server: String,
}

/// A client. Making one reads and opens nothing.
pub struct Client {
    source: Source,
    bounds: Bounds,
    /// The credentials as they were read last, and the connections that were opened with them.
    session: Mutex<Option<Session>>,
    /// When the server was away last, whichever request noticed.
    away: Mutex<Option<Instant>>,
    /// Requests sent, and the microseconds that callers have waited.
    requests: AtomicU32,
    waited: AtomicU64,
}

/// How much a client was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests that were sent, further tries included.
    pub requests: u32,
    /// How long their callers waited; of several at once, each.
    pub took: Duration,
}

#[derive(Clone)]
struct Session {
    token: Token,
    pool: Arc<Pool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Client {
    /// A client with these credentials.
    pub fn new(source: Source) -> Self {
        Client {
            source,
            bounds: Bounds::default(),
            session: Mutex::default(),
            away: Mutex::default(),
            requests: AtomicU32::default(),
            waited: AtomicU64::default(),
        }
    }

    /// How much it was used until now; a request that was given up counts with what it had taken.
    pub fn usage(&self) -> Usage {
        Usage {
            requests: self.requests.load(Ordering::Relaxed),
            took: Duration::from_micros(self.waited.load(Ordering::Relaxed)),
        }
    }

    /// How messages name it (`the API server of kubeconfig /etc/…`).
    pub fn described(&self) -> String {
        format!("the API server of {}", self.source.described())
    }

    /// Makes a request: retried inside the deadline where another try can help. Several may be under way at once.
    ///
    /// # Errors
    /// Every variant of [`Error`].
    pub async fn request(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let mut progress = Progress { backoff: Backoff::new(), tries: 0, last: None };
        let started = Instant::now();
        let outcome = request.deadline.within(self.until_answered(request, &mut progress)).await;
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waited.fetch_add(took, Ordering::Relaxed);
        match outcome {
            Ok(result) => result.map_err(|failure| self.error(request, failure, progress.tries)),
            Err(cause) => Err(self.interrupted(request, cause, &progress)),
        }
    }

    /// Tries until there is an answer, or a failure that another try would repeat.
    async fn until_answered(&self, request: &Request<'_>, progress: &mut Progress) -> Result<Answer, Failure> {
        let (mut was_refused, mut must_read) = (false, false);
        loop {
            let session = if must_read { self.read() } else { self.session() };
            let outcome = match session {
                Ok(session) => {
                    must_read = false;
                    self.attempt(&session, request, progress).await
                }
                Err(error) => Err(Failure::Credentials(error)),
            };
            let failure = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.status() == Some(UNAUTHORIZED) && !was_refused {
                log::warn!("{} to {}: {failure}; the credentials are read again", request.about, self.server());
                (was_refused, must_read) = (true, true);
                progress.last = Some(failure);
                continue;
            }
            let is_starting = self.is_starting(&failure);
            let wait = progress.backoff.after(&failure, request.method, is_starting);
            let Some(wait) = wait else { return Err(failure) };
            let failure = past_deadline(failure, wait, request.deadline)?;
            let milliseconds = wait.as_millis();
            log::warn!("{} to {}: {failure}; tried again in {milliseconds} ms", request.about, self.server());
            progress.last = Some(failure);
            sleep(wait).await;
        }
    }

    async fn attempt(
        &self,
        session: &Session,
        request: &Request<'_>,
        progress: &mut Progress,
    ) -> Result<Answer, Failure> {
        let authorization = session.token.header();
        let authorization = authorization.map_err(|error| Failure::Credentials(self.placed(error)))?;
        progress.tries = progress.tries.saturating_add(1);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let body = exchange(&session.pool, request, authorization).await?;
        Ok(Answer { body, server: session.pool.target.endpoint.server.to_string() })
    }

    /// Whether the server was away a moment ago; notes it when this failure says so.
    fn is_starting(&self, failure: &Failure) -> bool {
        let mut away = locked(&self.away);
        if matches!(failure, Failure::Transport(_)) || failure.status().is_some_and(|status| status >= 500) {
            *away = Some(Instant::now());
        }
        away.is_some_and(|away| away.elapsed() < self.bounds.start)
    }

    /// What was read last; read now when nothing was.
    fn session(&self) -> Result<Session, cni::Error> {
        let known = locked(&self.session).clone();
        match known {
            Some(session) => Ok(session),
            None => self.read(),
        }
    }

    /// Reads the credentials. Connections are kept when they would be opened in the same way again.
    fn read(&self) -> Result<Session, cni::Error> {
        let Credentials { endpoint, token } = self.source.read()?;
        let mut current = locked(&self.session);
        let former = current.take().map(|session| session.pool).filter(|pool| pool.target.endpoint == endpoint);
        let pool = match former {
            Some(pool) => pool,
            None => {
                let target = Target::new(endpoint, self.bounds).map_err(|error| self.placed(error))?;
                Arc::new(Pool::new(target))
            }
        };
        Ok(current.insert(Session { token, pool }).clone())
    }

    fn placed(&self, error: cni::Error) -> cni::Error {
        error.within(&self.source.described())
    }

    fn server(&self) -> String {
        let known = locked(&self.session).as_ref().map(|session| session.pool.target.endpoint.server.to_string());
        known.unwrap_or_else(|| self.described())
    }

    fn error(&self, request: &Request<'_>, failure: Failure, tries: u32) -> Error {
        let (about, server) = (request.about.to_owned(), self.server());
        match failure {
            Failure::Status(Refusal { status, reason, mut message, .. }) => {
                if status == UNAUTHORIZED {
                    // The server's own word is "Unauthorized", which tells nobody where to look.
                    message = format!(
                        "{message}; the credentials of {} have expired, were revoked or belong to another cluster: \
                         renew them",
                        self.source.described()
                    );
                }
                Error::Refused { request: about, server, status, reason, message, tries }
            }
            Failure::Transport(reason) | Failure::Unusable(reason) => {
                Error::Unusable { request: about, server, reason, tries }
            }
            Failure::TooLong => Error::TooLong { request: about, server, limit: request.limit, tries },
            Failure::Credentials(source) => Error::Credentials { request: about, source },
        }
    }

    fn interrupted(&self, request: &Request<'_>, cause: Reason, progress: &Progress) -> Error {
        let last = match &progress.last {
            Some(failure) => format!("the last failure: {failure}"),
            None if progress.tries == 0 => "nothing was tried any more".to_owned(),
            None => "there was no answer yet".to_owned(),
        };
        Error::Interrupted {
            request: request.about.to_owned(),
            server: self.server(),
            cause,
            last,
            tries: progress.tries,
        }
    }
}

/// What is to be said of a request when its time ends.
struct Progress {
    backoff: Backoff,
    tries: u32,
    last: Option<Failure>,
}

/// Gives up at once on a server that wants to be asked again when nobody will: the runtime's next try comes sooner.
fn past_deadline(failure: Failure, wait: Duration, deadline: &Deadline) -> Result<Failure, Failure> {
    match failure {
        Failure::Status(mut refusal) if refusal.retry_after.is_some_and(|asked| asked > deadline.remaining()) => {
            refusal.message =
                format!("{}; it wants to be asked again in {} s, past the deadline", refusal.message, wait.as_secs());
            Err(Failure::Status(refusal))
        }
        other => Ok(other),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod rotation_tests;
