//! What to make, as words: for each link `veth NAME INDEX PEER BRIDGE` or `macvlan NAME INDEX PARENT`, then
//! `address ADDRESS/LENGTH` and `gateway ADDRESS` as often as there are some.
//!
//! BRIDGE and PARENT are the ifindexes of links of the node; INDEX is the one that the new link gets in the pod.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// A link of the pod.
pub(crate) struct Link<'a> {
    pub(crate) name: &'a str,
    /// The ifindex that it gets.
    pub(crate) index: u32,
    pub(crate) kind: Kind<'a>,
    pub(crate) addresses: Vec<IpNetwork>,
    /// Of default routes.
    pub(crate) gateways: Vec<IpAddr>,
}

/// What it is.
pub(crate) enum Kind<'a> {
    /// One end of a pair; the other, `peer`, is a port of a bridge of the node.
    Veth { peer: &'a str, bridge: u32 },
    /// A macvlan in mode bridge over a link of the node.
    Macvlan { parent: u32 },
}

impl<'a> Link<'a> {
    /// Reads a whole plan; panics at what is none.
    pub(crate) fn read(words: &'a [String]) -> Vec<Link<'a>> {
        let mut links: Vec<Link<'a>> = Vec::new();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut next = || words.next().unwrap_or_else(|| panic!("nothing follows {word:?}"));
            match word {
                "veth" => {
                    let (name, index) = (next(), number(next()));
                    links.push(Link::new(name, index, Kind::Veth { peer: next(), bridge: number(next()) }));
                }
                "macvlan" => {
                    let (name, index) = (next(), number(next()));
                    links.push(Link::new(name, index, Kind::Macvlan { parent: number(next()) }));
                }
                "address" => last(&mut links).addresses.push(next().parse().expect("an address with its length")),
                "gateway" => last(&mut links).gateways.push(next().parse().expect("a gateway's address")),
                other => panic!("no word {other:?} in a plan"),
            }
        }
        links
    }

    fn new(name: &'a str, index: u32, kind: Kind<'a>) -> Link<'a> {
        Link { name, index, kind, addresses: Vec::new(), gateways: Vec::new() }
    }
}

fn last<'l, 'a>(links: &'l mut [Link<'a>]) -> &'l mut Link<'a> {
    links.last_mut().expect("a link comes before its addresses")
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no ifindex"))
}
