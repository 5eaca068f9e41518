//! The address of an API server, as the key `server` has it.

use std::fmt;
use std::net::IpAddr;

use hyper::http::uri::Authority;

/// A server's address: `https://host:6443/base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Whether TLS is spoken.
    pub(super) is_https: bool,
    /// A name or an address; an IPv6 address has no brackets.
    pub(super) host: String,
    /// The TCP port.
    pub(super) port: u16,
    /// What goes before each path: empty, or begins with `/` and does not end with it.
    pub(super) base: String,
}

impl Server {
    /// Parses a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right; without the URL, in which somebody may have put a password.
    pub(super) fn parse(url: &str) -> Result<Server, &'static str> {
        const RULE: &str = "write https://HOST:PORT";
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once("://") else { return Err(RULE) };
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("only https:// and http:// are spoken"),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.contains('@') {
            return Err("a user or password in a URL is not taken: put a token into the user's part");
        }
        let authority: Authority = authority.parse().map_err(|_| RULE)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_literal = authority.host().starts_with('[');
        if host.is_empty() || (is_literal && host.parse::<std::net::Ipv6Addr>().is_err()) {
            return Err(RULE);
        }
        let default = if is_https { 443 } else { 80 };
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') || authority.as_str() != authority.host() => return Err(RULE),
            None => default,
        };
        let base = path.trim_end_matches('/');
        // The path becomes a part of every request's: it must not end before it.
        if base.contains(['?', '#']) || !base.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a URL with a query, a fragment or characters other than ASCII is not taken");
        }
        Ok(Server { is_https, host: host.to_owned(), port, base: base.to_owned() })
    }

    /// `host:port`, as HTTP writes it.
    pub(super) fn authority(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// The URL of `path` at this server.
    pub(super) fn url(&self, path: &str) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}{path}", self.authority(), self.base)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url(""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_an_address_is_read() {
        for (url, host, port, base, shown) in [
            ("https://10.0.0.1:6443", "10.0.0.1", 6443, "", "https://10.0.0.1:6443"),
            ("https://[fd00::1]:6443/", "fd00::1", 6443, "", "https://[fd00::1]:6443"),
            ("https://[fd00:0:0::1]", "fd00:0:0::1", 443, "", "https://[fd00::1]:443"),
            ("http://localhost", "localhost", 80, "", "http://localhost:80"),
            (
                " HTTPS://api.example:443/k8s/clusters/c-1/\n",
                "api.example",
                443,
                "/k8s/clusters/c-1",
                "https://api.example:443/k8s/clusters/c-1",
            ),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!((server.host.as_str(), server.port, server.base.as_str()), (host, port, base), "{url}");
            assert_eq!(server.to_string(), shown);
        }
        assert_eq!(Server::parse("http://a/b/").unwrap().url("/api"), "http://a:80/b/api");
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for url in [
            "",
            "10.0.0.1:6443",
            "https://",
            "https://:6443",
            "ftp://a",
            "https://a:b",
            "https://a:70000",
            "https://a:",
            "https://user:SECRET@a",
            "https://a/?token=SECRET",
            "https://a/#b",
            "https://a b",
            "https://[fd00::1",
            "https://[SECRET]:1",
            "https://[]",
            "https://a/ü",
        ] {
            let error = Server::parse(url).unwrap_err();
            assert!(!error.contains("SECRET"), "{url}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_what_is_taken_makes_a_url(text in "(?s)(https?://)?.{0,60}") {
            if let Ok(server) = Server::parse(&text) {
                prop_assert!(server.url("/api").parse::<hyper::Uri>().is_ok(), "{}", server);
            }
        }
    }
}
