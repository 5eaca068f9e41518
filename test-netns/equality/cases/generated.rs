//! Cases made by combining: each form of IPAM with each family several times, and everything else in turn, in steps that
//! have no common divisor, so that every two values meet somewhere.

use serde_json::{Value, json};

use super::ipam::{FAMILIES, FORMS, Families, Form, RESOLV_CONF, ROUTES, Routes, ipam, ips};
use super::{Case, VERSIONS, with};
use crate::twins::{MASTER, Step};

const MODES: [&str; 5] = ["", "bridge", "private", "vepa", "passthru"];
const MTUS: [Option<u32>; 4] = [None, Some(1400), Some(9000), Some(1500)];
const CONFIGURED_MAC: &str = "02:00:00:00:01:01";
const MAC_OF_ARGS: &str = "02:00:00:00:01:02";
const MAC_OF_RUNTIME: &str = "02:00:00:00:01:03";

/// Where the MAC is from. The later ones win over the former.
#[derive(Clone, Copy, Debug)]
enum Mac {
    None,
    Config,
    Args,
    Runtime,
    All,
}

const MACS: [Mac; 5] = [Mac::None, Mac::Config, Mac::Args, Mac::Runtime, Mac::All];

/// What a bridge is told beyond its name.
fn bridge_keys() -> Vec<Value> {
    vec![
        json!({}),
        json!({"isGateway": true}),
        json!({"isDefaultGateway": true}),
        json!({"isGateway": true, "forceAddress": true}),
        json!({"hairpinMode": true}),
        json!({"promiscMode": true}),
        json!({"portIsolation": true}),
        json!({"enabledad": true}),
        json!({"isGateway": true, "enabledad": true, "hairpinMode": true}),
        json!({"isGateway": true, "ipMasq": true}),
        json!({"isGateway": true, "ipMasq": true, "ipMasqBackend": "nftables"}),
        json!({"macspoofchk": true}),
        json!({"isDefaultGateway": true, "portIsolation": true, "macspoofchk": true}),
    ]
}

/// Three cases for each form and family.
pub(crate) fn macvlan() -> Vec<Case> {
    combine(3, |turn, form, families| {
        let mode = MODES[turn % MODES.len()];
        let plugin = with(
            json!({"type": "macvlan", "master": MASTER}),
            &if mode.is_empty() { json!({}) } else { json!({"mode": mode}) },
        );
        let mac = MACS[(turn / 2) % MACS.len()];
        case(turn, "macvlan", mode, plugin, mac, form, families)
    })
}

/// Three cases for each form and family.
pub(crate) fn bridge() -> Vec<Case> {
    let keys = bridge_keys();
    combine(3, |turn, form, families| {
        let more = &keys[turn % keys.len()];
        let name = if turn.is_multiple_of(2) { json!({}) } else { json!({"bridge": "storage0"}) };
        let plugin = with(with(json!({"type": "bridge"}), &name), more);
        let what = more.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>().join(" "));
        case(turn, "bridge", &what.unwrap_or_default(), plugin, MACS[(turn / 2) % MACS.len()], form, families)
    })
}

fn combine(times: usize, make: impl Fn(usize, Form, Families) -> Case) -> Vec<Case> {
    let mut cases = Vec::new();
    for _ in 0..times {
        for form in FORMS {
            for families in FAMILIES {
                // Without IPAM there is no family.
                if form != Form::None || families == Families::V4 {
                    cases.push(make(cases.len(), form, families));
                }
            }
        }
    }
    cases
}

fn case(turn: usize, kind: &str, what: &str, mut plugin: Value, mac: Mac, form: Form, families: Families) -> Case {
    // All steps are prime to each other and to the number of forms and families.
    let routes = ROUTES[(turn + turn / 25) % ROUTES.len()];
    let version = VERSIONS[(turn + turn / 4) % VERSIONS.len()];
    let mtu = MTUS[(turn / 3 + turn) % MTUS.len()];
    if let Some(mtu) = mtu {
        plugin["mtu"] = json!(mtu);
    }
    let mut runtime = json!({});
    // Both families have to be asked for together, so a form with two sets of one cannot be asked by address alone.
    let asks = match (turn + turn / 7) % 4 {
        1 if form != Form::None && form != Form::SeveralSets => "ips",
        3 if !matches!(form, Form::None | Form::Static | Form::StaticWithoutGateway) => "ipRanges",
        _ => "",
    };
    match asks {
        "ips" => runtime["ips"] = ips(form, families),
        "ipRanges" => runtime["ipRanges"] = json!([[{"subnet": "10.3.0.0/24", "gateway": "10.3.0.1"}]]),
        _ => {}
    }
    // A bridge can have one IPv4 address only, unless it may replace it.
    let several = asks == "ipRanges" || form == Form::SeveralSets;
    if several && (!plugin["isGateway"].is_null() || !plugin["isDefaultGateway"].is_null()) {
        plugin["forceAddress"] = json!(true);
    }
    let mut args = "IgnoreUnknown=1".to_owned();
    if matches!(mac, Mac::Config | Mac::All) {
        match kind {
            "macvlan" => plugin["mac"] = json!(CONFIGURED_MAC),
            _ => plugin["args"] = json!({"cni": {"mac": CONFIGURED_MAC}}),
        }
    }
    if matches!(mac, Mac::Args | Mac::All) {
        args.push_str(&format!(";MAC={MAC_OF_ARGS}"));
    }
    if matches!(mac, Mac::Runtime | Mac::All) {
        runtime["mac"] = json!(MAC_OF_RUNTIME);
    }
    let routes = match routes {
        _ if form == Form::None => Routes::None,
        // Two default routes by one gateway are refused.
        Routes::Default if !plugin["isDefaultGateway"].is_null() => Routes::Gateway,
        routes => routes,
    };
    if let Some(ipam) = ipam(form, families, &routes.of(families)) {
        plugin["ipam"] = ipam;
    }
    let name =
        format!("{turn:02} {kind} {what} {form:?} {} {routes:?} {mtu:?} {mac:?} {asks} {version}", families.name());
    let mut case = Case::new(name.split_whitespace().collect::<Vec<_>>().join(" "), plugin);
    if form == Form::WithFiles {
        let content = "# of the test\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example\n\
                       domain example.net\noptions ndots:5 timeout:1\n";
        case = case.before(Step::File(RESOLV_CONF, content.to_owned()));
    }
    // Static addresses by the runtime have no gateway.
    let no_gateway = form == Form::StaticWithoutGateway || form == Form::Static && asks == "ips";
    let detects = kind == "macvlan" || case.has("enabledad");
    if no_gateway && detects && families != Families::V4 {
        case = case.shows(&["tentative"]);
    }
    if kind == "bridge" && form == Form::None {
        case = case.check_fails();
    }
    if turn.is_multiple_of(6) {
        case = case.mixed();
    }
    case.version(version).args(&args).runtime(runtime)
}
