//! Another tenant's network, by every way to write its name.

use serde_json::json;

use super::{DEFAULT_NETWORK, FORBIDDEN, NETWORKS, Tenant, selecting};

/// Selections that name the network `net` of `other` to whoever reads keys and blanks as Go and Multus do.
fn readable(other: &str, own: &str) -> Vec<String> {
    let mut selections = vec![
        format!("{other}/net"),
        format!("{other}/net@eth1"),
        format!(" {other} / net @ eth1 "),
        format!("\n\t{other}/net\u{a0}\r\n"),
        format!(r#"{{"name":"net","namespace":"{other}"}}"#),
    ];
    let objects = [
        format!(r#""name":"net","namespace":"{other}""#),
        format!(r#""name":"net","Namespace":"{other}""#),
        format!(r#""NAME":"net","NAMESPACE":"{other}""#),
        format!(r#""name":"net","n\u0061mespace":"{other}""#),
        format!(r#""name":"net","name\u017fpace":"{other}""#),
        format!(r#""name":"net","namespace":"{own}","namespace":"{other}""#),
        format!(r#""name":"net","namespace":"{own}","nameSpace":"{other}""#),
        format!(r#""name":"net","namespace":"{other}","namespace":null"#),
        format!(r#""name":"net","namespace":"{other}","Namespace":null,"NAMESPACE":null"#),
        format!(r#""name":"own","namespace":"{other}","Name":"net","interface":"eth1""#),
        format!(r#""name":"missing","namespace":"{other}""#),
        format!(r#""name":"net","namespace":"{other}","mac":"02:00:00:00:00:07","ips":["192.0.2.7"]"#),
    ];
    selections.extend(objects.iter().map(|object| format!("[{{{object}}}]")));
    selections
}

/// Texts in a selection that no object can have for its name.
fn unreadable(other: &str) -> Vec<String> {
    let upper = other.to_uppercase();
    let look_alike = other.replace('o', "\u{43e}");
    let full_width = other.replace('o', "\u{ff4f}");
    let mut references = vec![
        format!("../{other}/net"),
        format!("../../{other}/network-attachment-definitions/net"),
        format!("..%2f{other}%2fnet"),
        format!("{other}%2fnet"),
        format!("{other}%2Fnet"),
        format!("{other}/.."),
        format!("{other}/../.."),
        format!("{other}/../net"),
        format!("{other}/./net"),
        format!("{other}//net"),
        format!("/{other}/net"),
        "/net".to_owned(),
        format!("{other}/"),
        format!("{other}\\net"),
        format!("{other}/net?dryRun=All"),
        format!("{other}/net#"),
        format!("{other}/net;x"),
        format!("{upper}/net"),
        format!("{other}/NET"),
        format!("{look_alike}/net"),
        format!("{full_width}/net"),
        format!("{other}\u{2215}net"),
        format!("{other}/ｎｅｔ"),
        format!("{other}./net"),
        format!("{other}/net."),
        format!("{other}/.net"),
        format!("{other}/net\u{200b}"),
        format!("\u{feff}{other}/net"),
        format!("{other}/net\u{0}"),
        format!("{other}\u{0}/net"),
        format!("{other}/n\net"),
        format!("{other}/net\r\nHost: x"),
        format!("{other}/net HTTP/1.1"),
        format!("{other}/{}", "n".repeat(254)),
        format!("{}/net", "o".repeat(64)),
    ];
    // As JSON: the slash belongs to no name.
    references.extend([
        format!(r#"[{{"name":"{other}/net"}}]"#),
        format!(r#"[{{"name":"../{other}/net"}}]"#),
        format!(r#"[{{"name":"net","namespace":"../{other}"}}]"#),
        format!(r#"[{{"name":"net","namespace":"{other}/x"}}]"#),
        format!(r#"[{{"name":"net","namespace":"{upper}"}}]"#),
        format!(r#"[{{"name":"net","namespace":"{other} "}}]"#),
        format!(r#"[{{"name":"net","namespace":"{other}\u0000"}}]"#),
        r#"[{"name":"net","namespace":"\uff4fther"}]"#.to_owned(),
        r#"[{"name":"net","namespace":".."}]"#.to_owned(),
        format!(r#"[{{"name":"net","namespace":["{other}"]}}]"#),
        format!(r#"[{{"name":"net","namespace":{{"namespace":"{other}"}}}}]"#),
        format!(r#"[{{"name":"net","namespace":"{other}","namespace":1}}]"#),
    ]);
    references
}

#[test]
fn a_pod_never_selects_another_namespaces_network_under_isolation() {
    let tenant = Tenant::start();
    let words = [NETWORKS, &tenant.other, tenant.own(), "namespaceIsolation", "globalNamespaces"];
    for selection in readable(&tenant.other, tenant.own()) {
        tenant.refused(&selection, &tenant.chained(), &selecting(&selection), FORBIDDEN, &words);
    }
    // Where it stands beside what is allowed, that is not asked for either.
    for selection in [format!("own,{}/net", tenant.other), format!("{}/net@a,{}/own@b", tenant.other, tenant.own())] {
        for config in [tenant.chained(), tenant.delegating()] {
            tenant.refused(&selection, &config, &selecting(&selection), FORBIDDEN, &words);
        }
    }
    tenant.assert_other_untouched();
}

#[test]
fn a_pod_never_replaces_the_default_network_by_another_namespaces_under_isolation() {
    let tenant = Tenant::start();
    let words = [DEFAULT_NETWORK, &tenant.other, tenant.own(), "namespaceIsolation", "globalNamespaces"];
    let mut selections = readable(&tenant.other, tenant.own());
    selections.retain(|selection| !selection.contains("eth1"));
    // Short names are looked up where the node's own are, which is no namespace of the tenant's.
    selections.extend(["net", r#"[{"name":"net"}]"#, r#"[{"name":"net","namespace":null}]"#].map(str::to_owned));
    for selection in &selections {
        let annotations = json!({DEFAULT_NETWORK: selection, NETWORKS: "own"});
        tenant.refused(selection, &tenant.delegating(), &annotations, FORBIDDEN, &words);
    }
    let two = json!({DEFAULT_NETWORK: format!("{0}/net,{0}/net", tenant.other)});
    tenant.refused("two", &tenant.delegating(), &two, 7, &[DEFAULT_NETWORK, "exactly one"]);
    let chained = json!({DEFAULT_NETWORK: format!("{}/own", tenant.own())});
    tenant.refused("chained", &tenant.chained(), &chained, 7, &[DEFAULT_NETWORK, "chained mode"]);
    tenant.assert_other_untouched();
}

#[test]
fn what_is_no_name_is_not_made_one_and_nobody_is_asked_for_it() {
    let tenant = Tenant::start();
    for selection in unreadable(&tenant.other) {
        tenant.refused(&selection, &tenant.chained(), &selecting(&selection), 7, &[NETWORKS, "element 1"]);
        let annotations = json!({DEFAULT_NETWORK: selection});
        tenant.refused(&selection, &tenant.delegating(), &annotations, 7, &[DEFAULT_NETWORK, "element 1"]);
    }
    tenant.assert_other_untouched();
}
