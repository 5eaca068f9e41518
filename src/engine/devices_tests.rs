use super::*;

const A: &str = "intel.com/a";
const B: &str = "intel.com/b";

fn need(resource: Option<&str>, asked: Option<&str>) -> Need {
    Need { display: "rook/public".to_owned(), resource: resource.map(str::to_owned), asked: asked.map(str::to_owned) }
}

fn given(ids: &[(&str, &[&str])]) -> Devices {
    ids.iter().flat_map(|(resource, ids)| ids.iter().map(move |id| (*resource, *id))).collect()
}

fn ids(needs: &[Need], devices: &Devices) -> Vec<Option<String>> {
    let handed_out = hand_out(needs, devices, "rook/osd").unwrap();
    for (need, device) in needs.iter().zip(&handed_out) {
        assert_eq!(device.as_ref().map(|device| &device.resource), need.resource.as_ref());
    }
    handed_out.into_iter().map(|device| device.map(|device| device.id)).collect()
}

fn some(ids: &[&str]) -> Vec<Option<String>> {
    ids.iter().map(|id| Some((*id).to_owned()).filter(|id| !id.is_empty())).collect()
}

#[test]
fn devices_go_out_sorted_in_the_order_of_the_attachments_by_resource() {
    let devices = given(&[(A, &["a2", "a10", "a1"]), (B, &["b1"])]);
    let needs = [need(Some(A), None), need(None, None), need(Some(B), None), need(Some(A), None)];
    assert_eq!(ids(&needs, &devices), some(&["a1", "", "b1", "a10"]));
}

#[test]
fn a_device_that_is_asked_for_goes_to_no_other_attachment() {
    let devices = given(&[(A, &["a1", "a2", "a3"])]);
    let needs = [need(Some(A), None), need(Some(A), Some("a1")), need(Some(A), None)];
    assert_eq!(ids(&needs, &devices), some(&["a2", "a1", "a3"]));
}

/// Device plugins number their devices as they like: an id is one only together with its resource.
#[test]
fn the_same_id_of_two_resources_is_two_devices() {
    let devices = given(&[(A, &["1"]), (B, &["1"])]);
    assert_eq!(ids(&[need(Some(A), Some("1")), need(Some(B), None)], &devices), some(&["1", "1"]));
}

#[test]
fn what_the_pod_does_not_have_is_refused() {
    let devices = given(&[(A, &["a1"]), (B, &["b1"])]);
    let rows: [(&[Need], Code, &[&str]); 4] = [
        (&[need(Some(A), Some("b1"))], Code::FORBIDDEN, &["\"b1\"", "rook/osd", A, "gave it \"a1\""]),
        (&[need(Some("x/y"), Some("z"))], Code::FORBIDDEN, &["\"z\"", "gave it none"]),
        (&[need(Some(A), Some("a1")), need(Some(A), Some("a1"))], Code::INVALID_CONFIG, &["\"a1\" a second time"]),
        (&[need(Some(A), None), need(Some(A), Some("a1"))], Code::INVALID_CONFIG, &["has 1 for 2 networks", "limits"]),
    ];
    for (needs, code, words) in rows {
        let error = hand_out(needs, &devices, "rook/osd").unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(words.iter().all(|word| error.message.contains(word)), "{error}");
    }
}

#[test]
fn every_plugin_of_a_list_gets_the_device_and_runtime_config_where_it_is_declared() {
    let device = Device { resource: A.to_owned(), id: "0000:18:02.5".to_owned() };
    for capable in [false, true] {
        let text = format!(
            r#"{{"cniVersion":"1.0.0","name":"n","plugins":[{{"type":"sriov","DeviceID":"x"}},{{"type":"tuning","capabilities":{{"deviceID":{capable}}}}}]}}"#
        );
        let mut network = Network::parse("the network", &text, None).unwrap();
        let mut runtime_config = Object::new();
        grant(&device, &mut network, &mut runtime_config).unwrap();
        for plugin in &network.plugins {
            for key in ["deviceID", "pciBusID"] {
                assert_eq!(plugin.object.text(key).unwrap(), device.id);
            }
        }
        assert_eq!(runtime_config.has("deviceID"), capable);
    }
}

#[test]
fn only_a_file_among_the_copies_is_ever_removed() {
    let key = Key { container_id: "c1".to_owned(), ifname: "net1".to_owned() };
    let network = |capable: bool| {
        let text = format!(r#"{{"name":"n","type":"x","capabilities":{{"CNIDeviceInfoFile":{capable}}}}}"#);
        Network::parse("the network", &text, None).unwrap()
    };
    let mut runtime_config = Object::parse("it", r#"{"CNIDeviceInfoFile":"/etc/passwd"}"#).unwrap();
    assert_eq!(named_copy(&runtime_config), None);
    name_information(&network(true), &key, &mut runtime_config).unwrap();
    let named = named_copy(&runtime_config).unwrap();
    assert_eq!(named, PathBuf::from("/var/run/k8s.cni.cncf.io/devinfo/cni/c1@net1.json"));
    // The runtime's own word does not stay where no plugin asks for the file.
    name_information(&network(false), &key, &mut runtime_config).unwrap();
    assert!(!runtime_config.has(CAPABILITY));
}
