//! Whether the API server can be reached and takes the credentials: a request that needs no right.

use super::client::{Client, Method, Request};
use super::error::Error;
use crate::state::deadline::Deadline;

/// Bytes of the answer, at most.
const MAX_BYTES: usize = 65_536;

/// Asks for the server's version. Everybody may, but whoever shows a token must show one that the server accepts.
///
/// # Errors
/// Those of [`Client::request`]: status 401 when the token is refused.
pub async fn get(client: &Client, deadline: &Deadline) -> Result<(), Error> {
    let request =
        Request { method: Method::Get, path: "/version", about: "GET version", body: &[], limit: MAX_BYTES, deadline };
    client.request(&request).await.map(|_| ())
}
