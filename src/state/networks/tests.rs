use std::fs;

use super::*;

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rooknet-networks-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(FileNetworks::new(&self.0).find(namespace, name))
    }

    fn by_name(&self, name: &str) -> Result<Option<Network>, Error> {
        ConfDir::new(&self.0).by_name(name)
    }

    /// The first plugin's type of the network of that name.
    fn type_of(&self, name: &str) -> String {
        self.by_name(name).unwrap().unwrap().plugins[0].type_name.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn plugin(name: &str, type_name: &str) -> String {
    format!(r#"{{"cniVersion":"1.0.0","name":"{name}","type":"{type_name}"}}"#)
}

fn list(name: &str, type_name: &str) -> String {
    format!(r#"{{"cniVersion":"1.0.0","name":"{name}","plugins":[{{"type":"{type_name}"}}]}}"#)
}

#[test]
fn a_whole_object_comes_before_a_list_and_a_list_before_one_plugin() {
    let directory = Directory::new("extensions");
    let origin = |found: &Found| found.origin.rsplit('/').next().unwrap().to_owned();
    assert!(directory.find("rook", "public").unwrap().is_none());
    directory.write("rook/public.conf", plugin("x", "macvlan"));
    let found = directory.find("rook", "public").unwrap().unwrap();
    let expected = ("public.conf".to_owned(), plugin("x", "macvlan"));
    assert_eq!((origin(&found), found.definition.config.clone()), expected);
    assert_eq!((found.definition.namespace.as_str(), found.definition.name.as_str()), ("rook", "public"));
    directory.write("rook/public.conflist", list("x", "macvlan"));
    assert_eq!(origin(&directory.find("rook", "public").unwrap().unwrap()), "public.conflist");
    directory.write("rook/public.json", r#"{"metadata":{"name":"public"}}"#);
    let found = directory.find("rook", "public").unwrap().unwrap();
    assert_eq!((origin(&found).as_str(), found.definition.namespace.as_str()), ("public.json", "rook"));
    assert!(found.definition.config.is_empty(), "to be found in confDir");
}

#[test]
fn metadata_that_contradicts_the_path_is_an_error_naming_file_and_key() {
    let directory = Directory::new("contradiction");
    for (text, key) in [
        (r#"{"metadata":{"name":"other"}}"#, "metadata.name"),
        (r#"{"metadata":{"name":"public","namespace":"other"}}"#, "metadata.namespace"),
    ] {
        let path = directory.write("rook/public.json", text);
        let error = directory.find("rook", "public").unwrap_err();
        assert_eq!(error.code.0, 7);
        for part in [path.to_str().unwrap(), key, "other"] {
            assert!(error.message.contains(part), "{error}");
        }
    }
}

#[test]
fn names_that_could_leave_the_directory_are_refused_before_a_path_is_built() {
    let directory = Directory::new("traversal");
    directory.write("secret.conf", plugin("x", "macvlan"));
    for (namespace, name) in
        [("..", "x"), ("rook", "../secret"), ("", "secret"), ("rook", ""), ("Rook", "x"), ("a.b", "x")]
    {
        assert_eq!(directory.find(namespace, name).unwrap_err().code.0, 7, "{namespace}/{name}");
    }
}

#[test]
fn malformed_definitions_are_errors_naming_the_file() {
    let directory = Directory::new("malformed");
    for (file, text) in [("a/n.json", &b"{"[..]), ("b/n.json", b""), ("c/n.conf", b" \n"), ("d/n.conflist", &[0xff])] {
        let path = directory.write(file, text);
        let error = directory.find(file.split('/').next().unwrap(), "n").unwrap_err();
        assert_eq!(error.code.0, 6, "{file}");
        assert!(error.message.contains(path.to_str().unwrap()), "{error}");
    }
    directory.write("e/n.json", " ".repeat(MAX_NETWORK_BYTES as usize + 1));
    assert_eq!(directory.find("e", "n").unwrap_err().code.0, 5);
}

#[test]
fn symbolic_links_are_followed_and_long_names_are_absent() {
    let directory = Directory::new("links");
    let target = directory.write("elsewhere", plugin("x", "macvlan"));
    fs::create_dir(directory.0.join("rook")).unwrap();
    std::os::unix::fs::symlink(&target, directory.0.join("rook/public.conf")).unwrap();
    assert!(directory.find("rook", "public").unwrap().is_some());
    let long = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(61)].join(".");
    assert!(directory.find("rook", &long).unwrap().is_none());
}

#[test]
fn conf_dir_finds_lists_before_single_plugins_each_in_alphabetical_order() {
    let directory = Directory::new("order");
    assert!(directory.by_name("n").unwrap().is_none());
    directory.write("30.json", plugin("n", "json"));
    assert_eq!(directory.type_of("n"), "json");
    directory.write("20.conf", plugin("n", "conf"));
    assert_eq!(directory.type_of("n"), "conf");
    directory.write("99.conflist", list("n", "list99"));
    assert_eq!(directory.type_of("n"), "list99");
    directory.write("98.conflist", list("n", "list98"));
    assert_eq!(directory.type_of("n"), "list98");
    directory.write("00.txt", list("n", "text"));
    fs::create_dir(directory.0.join("00.conflist")).unwrap();
    assert_eq!(directory.type_of("n"), "list98");
    assert!(directory.by_name("98").unwrap().is_none(), "the key name counts, not the file's");
}

#[test]
fn a_malformed_file_fails_only_the_network_it_names() {
    let directory = Directory::new("one-bad");
    directory.write("00-bad.conflist", "{");
    directory.write("01-unnamed.conflist", r#"{"plugins":[]}"#);
    directory.write("02-typed.conflist", r#"{"name":7}"#);
    directory.write("03-worse.conflist", [0xff]);
    directory.write("04-huge.conflist", " ".repeat(MAX_NETWORK_BYTES as usize + 1));
    directory.write("05-empty.conflist", r#"{"cniVersion":"1.0.0","name":"named","plugins":[]}"#);
    directory.write("50-good.conflist", list("good", "macvlan"));
    assert_eq!(directory.type_of("good"), "macvlan");
    for (name, file) in [
        ("bad", "00-bad"),
        ("00-bad", "00-bad"),
        ("unnamed", "01-"),
        ("typed", "02-"),
        ("worse", "03-"),
        ("huge", "04-"),
    ] {
        assert!(directory.by_name(name).unwrap_err().message.contains(file), "{name}");
    }
    assert!(directory.by_name("named").unwrap_err().message.contains("05-empty.conflist"));
    assert!(directory.by_name("absent").unwrap().is_none());
}

#[test]
fn a_list_is_completed_by_the_plugins_in_its_directory_unless_it_says_no() {
    let directory = Directory::new("extra");
    directory.write("10.conflist", list("n", "macvlan"));
    directory.write("n/20.conf", r#"{"type":"tuning"}"#);
    directory.write("n/10.conf", r#"{"type":"sbr"}"#);
    directory.write("n/30.conflist", r#"{"type":"portmap"}"#);
    let types = |network: Network| network.plugins.into_iter().map(|plugin| plugin.type_name).collect::<Vec<_>>();
    assert_eq!(types(directory.by_name("n").unwrap().unwrap()), ["macvlan", "sbr", "tuning"]);
    let path = directory.write(
        "10.conflist",
        r#"{"cniVersion":"1.0.0","name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"macvlan"}]}"#,
    );
    assert_eq!(types(at_path(&path).unwrap()), ["macvlan"]);
    let path = directory.write("10.conflist", r#"{"cniVersion":"1.0.0","name":"n"}"#);
    assert_eq!(types(at_path(&path).unwrap()), ["sbr", "tuning"]);
    directory.write("n/10.conf", "{");
    assert!(at_path(&path).unwrap_err().message.contains("n/10.conf"));
}

#[test]
fn an_extra_plugins_directory_never_lies_outside() {
    let directory = Directory::new("extra-outside");
    directory.write("secret/10.conf", r#"{"type":"tuning"}"#);
    let path = directory.write("conf/10.conflist", list("../secret", "macvlan"));
    assert!(at_path(&path).is_err());
}

#[test]
fn a_path_means_a_file_or_a_directorys_first_network() {
    let directory = Directory::new("path");
    let first_type = |path: &Path| at_path(path).map(|network| network.plugins[0].type_name.clone());
    let file = directory.write("b.conflist", list("b", "bridge"));
    directory.write("a.conf", plugin("a", "macvlan"));
    directory.write("0.txt", "{");
    assert_eq!(first_type(&file).unwrap(), "bridge");
    assert_eq!(first_type(&directory.0).unwrap(), "macvlan");
    directory.write("00-rooknet.conflist", list("a", "rooknet"));
    directory.write("01-multus.conf", plugin("m", "multus-shim"));
    assert_eq!(first_type(&directory.0).unwrap(), "macvlan", "rooknet and Multus are not their own default network");
    directory.write("02.conflist", "{");
    assert!(at_path(&directory.0).unwrap_err().message.contains("02.conflist"), "never another primary network");
}

#[test]
fn a_path_that_leads_to_no_network_is_an_error_naming_it() {
    let directory = Directory::new("no-path");
    for path in [directory.0.clone(), directory.0.join("absent"), PathBuf::from("relative/x.conf"), "/dev/null".into()]
    {
        let error = at_path(&path).unwrap_err();
        assert_eq!(error.code.0, 7, "{error}");
        assert!(error.message.contains(path.to_str().unwrap()), "{error}");
    }
}
