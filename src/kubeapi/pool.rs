//! The connections to one endpoint: a single one where the server speaks HTTP/2, else as many as requests are under
//! way at once.
//!
//! Opening is what costs, so requests that begin together wait for the one of them that opens, and take its failure
//! for theirs: else each of a pod's networks would wait for the same dead address in turn.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::client::conn::{http1, http2};

use super::connect::{Body, Opened, Target, open};
use super::failure::Failure;

/// Connections to one endpoint.
pub(super) struct Pool {
    /// Where they go.
    pub(super) target: Target,
    /// Locked while the first connection is opened.
    shared: tokio::sync::Mutex<Shared>,
    /// How often opening failed, and how the last time.
    failed: Mutex<(u64, Option<Failure>)>,
    /// HTTP/1.1 connections that no request uses.
    idle: Mutex<Vec<http1::SendRequest<Body>>>,
}

/// What is known of the server's protocol.
#[derive(Default)]
enum Shared {
    /// Nothing: no connection was opened yet, or the last one broke.
    #[default]
    Unknown,
    /// One request on a connection.
    Http1,
    /// All requests on this one; the number tells it from its successor.
    Http2(http2::SendRequest<Body>, u64),
}

/// A connection that a request may use.
pub(super) enum Connection {
    /// For this request alone.
    Http1(http1::SendRequest<Body>),
    /// Shared, with its number.
    Http2(http2::SendRequest<Body>, u64),
}

impl Pool {
    /// No connections yet.
    pub(super) fn new(target: Target) -> Self {
        Pool { target, shared: tokio::sync::Mutex::default(), failed: Mutex::default(), idle: Mutex::default() }
    }

    /// A connection that is open, as far as is known.
    ///
    /// # Errors
    /// When none could be opened, now or by a request that began to before this one.
    pub(super) async fn connection(&self) -> Result<Connection, Failure> {
        let failures_before = locked(&self.failed).0;
        let mut shared = self.shared.lock().await;
        match &*shared {
            Shared::Http2(sender, number) if !sender.is_closed() => {
                return Ok(Connection::Http2(sender.clone(), *number));
            }
            Shared::Http1 => {
                drop(shared);
                return self.http1().await;
            }
            Shared::Http2(..) | Shared::Unknown => {}
        }
        if let (failures, Some(last)) = &*locked(&self.failed)
            && *failures != failures_before
        {
            return Err(last.clone());
        }
        match open(&self.target).await {
            Ok(Opened::Http2(sender)) => {
                let number = next_number();
                *shared = Shared::Http2(sender.clone(), number);
                Ok(Connection::Http2(sender, number))
            }
            Ok(Opened::Http1(sender)) => {
                *shared = Shared::Http1;
                Ok(Connection::Http1(sender))
            }
            Err(failure) => {
                let mut failed = locked(&self.failed);
                *failed = (failed.0.wrapping_add(1), Some(failure.clone()));
                Err(failure)
            }
        }
    }

    /// An idle connection, or another one.
    async fn http1(&self) -> Result<Connection, Failure> {
        while let Some(mut sender) = self.pop_idle() {
            // The server may have closed it meanwhile, which its task may not have seen yet: the request would fail.
            if sender.ready().await.is_ok() {
                return Ok(Connection::Http1(sender));
            }
        }
        Ok(match open(&self.target).await? {
            Opened::Http1(sender) => Connection::Http1(sender),
            Opened::Http2(sender) => {
                // The server has learnt HTTP/2 since.
                let number = next_number();
                *self.shared.lock().await = Shared::Http2(sender.clone(), number);
                Connection::Http2(sender, number)
            }
        })
    }

    /// Takes a connection back whose answer was read to its end.
    pub(super) fn give_back(&self, connection: Connection) {
        if let Connection::Http1(sender) = connection
            && !sender.is_closed()
        {
            locked(&self.idle).push(sender);
        }
    }

    /// Forgets a connection that failed: the next request opens another.
    pub(super) async fn discard(&self, connection: Connection) {
        match connection {
            // It was this request's alone, and closes here. Those that idle go too: a server that went away has
            // closed them all, and each would cost a try.
            Connection::Http1(_) => locked(&self.idle).clear(),
            Connection::Http2(_, number) => {
                let mut shared = self.shared.lock().await;
                if matches!(&*shared, Shared::Http2(_, current) if *current == number) {
                    *shared = Shared::Unknown;
                }
            }
        }
    }

    /// How often opening a connection failed.
    #[cfg(test)]
    pub(super) fn failures(&self) -> u64 {
        locked(&self.failed).0
    }

    fn pop_idle(&self) -> Option<http1::SendRequest<Body>> {
        locked(&self.idle).pop()
    }
}

fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Nothing here can panic half-way, so a poisoned lock holds nothing broken.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
