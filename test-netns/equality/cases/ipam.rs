//! The forms of IPAM, routes, and what a caller may add to them.

use serde_json::{Value, json};

/// Families of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    V4,
    V6,
    Dual,
}

/// All of them.
pub(crate) const FAMILIES: [Families; 3] = [Families::V4, Families::V6, Families::Dual];

impl Families {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
            Self::Dual => "dual",
        }
    }

    /// One of each for the families that there are.
    fn each<'a>(self, v4: &'a str, v6: &'a str) -> Vec<&'a str> {
        match self {
            Self::V4 => vec![v4],
            Self::V6 => vec![v6],
            Self::Dual => vec![v4, v6],
        }
    }
}

/// A way to write `ipam`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    None,
    Static,
    StaticWithoutGateway,
    /// host-local's keys of one subnet; a second family in `ranges`.
    OldStyle,
    Ranges,
    Bounded,
    /// Two ranges in one set, of which the first is full at once.
    TwoInASet,
    /// Two sets for each family.
    SeveralSets,
    /// With `resolvConf` and `dataDir`.
    WithFiles,
}

/// All of them.
pub(crate) const FORMS: [Form; 9] = [
    Form::None,
    Form::Static,
    Form::StaticWithoutGateway,
    Form::OldStyle,
    Form::Ranges,
    Form::Bounded,
    Form::TwoInASet,
    Form::SeveralSets,
    Form::WithFiles,
];

/// Where [`Form::WithFiles`] has its resolv.conf.
pub(crate) const RESOLV_CONF: &str = "/run/equality-resolv.conf";

fn bounded(subnet: &str) -> Value {
    let (network, _) = subnet.split_once('/').expect("a prefix length");
    let start = network.strip_suffix(".0").map_or_else(|| network.to_owned(), |first| format!("{first}."));
    json!({"subnet": subnet, "rangeStart": format!("{start}60"), "rangeEnd": format!("{start}90"), "gateway": format!("{start}99")})
}

/// The key `ipam`; `None` for [`Form::None`].
pub(crate) fn ipam(form: Form, families: Families, routes: &[Value]) -> Option<Value> {
    let subnets = families.each("10.1.0.0/24", "fd00:1::/64");
    let sets = |make: &dyn Fn(&str) -> Value| subnets.iter().map(|subnet| make(subnet)).collect::<Vec<Value>>();
    let mut ipam = match form {
        Form::None => return None,
        Form::Static => {
            let gateways = families.each("10.1.0.1", "fd00:1::1");
            let addresses = families.each("10.1.0.5/24", "fd00:1::5/64");
            let pairs = addresses.iter().zip(gateways);
            let list: Vec<Value> = pairs.map(|(address, gw)| json!({"address": address, "gateway": gw})).collect();
            json!({"type": "static", "addresses": list})
        }
        Form::StaticWithoutGateway => {
            let addresses = families.each("10.1.0.5/24", "fd00:1::5/64");
            let list: Vec<Value> = addresses.iter().map(|address| json!({"address": address})).collect();
            json!({"type": "static", "addresses": list, "dns": {"nameservers": ["192.0.2.53"], "search": ["example.net"]}})
        }
        Form::OldStyle => {
            let mut old = bounded(subnets[0]);
            old["type"] = json!("host-local");
            if let Some(second) = subnets.get(1) {
                old["ranges"] = json!([[{"subnet": second}]]);
            }
            old
        }
        Form::Ranges => json!({"type": "host-local", "ranges": sets(&|subnet| json!([{"subnet": subnet}]))}),
        Form::Bounded => json!({"type": "host-local", "ranges": sets(&|subnet| json!([bounded(subnet)]))}),
        Form::TwoInASet => {
            let two = |subnet: &str| {
                let other = subnet.replace("10.1.", "10.2.").replace("fd00:1:", "fd00:2:");
                json!([bounded(subnet), {"subnet": other}])
            };
            json!({"type": "host-local", "ranges": sets(&two)})
        }
        Form::SeveralSets => {
            let mut all = sets(&|subnet| json!([{"subnet": subnet}]));
            all.extend(families.each("10.2.0.0/24", "fd00:2::/64").iter().map(|subnet| json!([bounded(subnet)])));
            json!({"type": "host-local", "ranges": all})
        }
        Form::WithFiles => json!({
            "type": "host-local", "ranges": sets(&|subnet| json!([{"subnet": subnet}])),
            "resolvConf": RESOLV_CONF, "dataDir": "/var/lib/cni/own",
        }),
    };
    if !routes.is_empty() {
        ipam["routes"] = json!(routes);
    }
    Some(ipam)
}

/// A way to write `routes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routes {
    None,
    Default,
    Gateway,
    Priority,
    Mtu,
}

/// All of them.
pub(crate) const ROUTES: [Routes; 5] = [Routes::None, Routes::Default, Routes::Gateway, Routes::Priority, Routes::Mtu];

impl Routes {
    /// The list for these families.
    pub(crate) fn of(self, families: Families) -> Vec<Value> {
        let everywhere = families.each("0.0.0.0/0", "::/0");
        let away = families.each("10.9.0.0/16", "fd00:9::/32");
        let gateways = families.each("10.1.0.1", "fd00:1::1");
        let pairs = away.iter().zip(gateways);
        match self {
            Self::None => Vec::new(),
            Self::Default => everywhere.iter().map(|dst| json!({"dst": dst})).collect(),
            Self::Gateway => pairs.map(|(dst, gw)| json!({"dst": dst, "gw": gw})).collect(),
            Self::Priority => pairs.map(|(dst, gw)| json!({"dst": dst, "gw": gw, "priority": 77})).collect(),
            Self::Mtu => pairs.map(|(dst, gw)| json!({"dst": dst, "gw": gw, "mtu": 1300, "advmss": 1200})).collect(),
        }
    }
}

/// The capability argument `ips` that a form takes: static wants prefix lengths.
pub(crate) fn ips(form: Form, families: Families) -> Value {
    match form {
        Form::Static | Form::StaticWithoutGateway => json!(families.each("10.1.0.77/24", "fd00:1::77/64")),
        _ => json!(families.each("10.1.0.77", "fd00:1::77")),
    }
}
