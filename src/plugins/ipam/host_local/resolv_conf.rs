//! `resolvConf`: the DNS settings of a file in the form of resolv.conf(5), as the reference reads it.
//!
//! `search` and `options` add up over lines and the last `domain` counts, which is not what resolv.conf(5) says, but
//! what the reference's results have.

use std::path::Path;

use crate::cni::Error;
use crate::cni::text::printable_path;
use crate::plugins::ipam::answer::Dns;
use crate::state::files;

/// Bytes of a file, at most.
const MAX_BYTES: u64 = 1024 * 1024;

/// # Errors
/// Code 7 when the file is missing, code 5 when it cannot be read or is longer than 1 MiB.
pub(super) fn read(path: &Path) -> Result<Dns, Error> {
    let bytes = files::read_bounded(path, MAX_BYTES)?.ok_or_else(|| {
        let path = printable_path(path);
        Error::config(format!("key \"ipam.resolvConf\" is {path}: there is no such file"))
    })?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace().map(ToOwned::to_owned);
        let (Some(keyword), Some(first)) = (words.next(), words.next()) else { continue };
        match keyword.as_str() {
            "nameserver" => dns.nameservers.push(first),
            "domain" => dns.domain = first,
            "search" => dns.search.extend([first].into_iter().chain(words)),
            "options" => dns.options.extend([first].into_iter().chain(words)),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_read_and_comments_are_not() {
        let text = "\n nameserver 192.0.2.0 x\r\nnameserver\t192.0.2.2\ndomain a.example\ndomain b.example\n;nameserver c\n\
                    #nameserver c\nsearch d.example e.example\nsearch f.example\noptions one two\noptions three\n\
                    nameserver\nsortlist 192.0.2.0\n";
        let expected = r#"{"nameservers":["192.0.2.0","192.0.2.2"],"domain":"b.example","search":["d.example","e.example","f.example"],"options":["one","two","three"]}"#;
        assert_eq!(parse(text).to_raw().unwrap().unwrap().get(), expected);
    }

    #[test]
    fn a_file_without_settings_gives_no_dns() {
        assert!(parse("# nothing\n\n").to_raw().unwrap().is_none());
    }

    #[test]
    fn a_missing_file_is_named_with_its_key() {
        let error = read(Path::new("/nonexistent/resolv.conf")).unwrap_err();
        assert!(error.message.contains("ipam.resolvConf") && error.message.contains("/nonexistent/resolv.conf"));
    }
}
