//! The image that `deploy/image.sh` writes: the same bytes from the same programs, and a layout in which every digest
//! and size is right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at what they did not expect"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A directory of a test's own, empty at first.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// Two files in place of the programs: the script only copies them.
fn programs(directory: &Path, mode: u32) {
    for program in ["rooknet", "rooknetctl"] {
        let path = directory.join(program);
        fs::write(&path, format!("the program {program}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// A shell's command; its stdout.
#[track_caller]
fn shell(command: &str) -> String {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const IMAGE: &str = "localhost/storage/rooknet:trial";

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/image.sh")
}

/// Writes the image of a directory's programs; `circumstances` is put before the command.
#[track_caller]
fn image(directory: &Path, circumstances: &str) -> PathBuf {
    let file = directory.join("image.tar");
    let (script, place) = (script().display().to_string(), directory.display());
    shell(&format!("{circumstances} '{script}' '{place}/rooknet' '{place}/rooknetctl' {IMAGE} '{}'", file.display()));
    file
}

#[test]
fn the_same_programs_give_the_same_image_wherever_and_by_whomever_it_is_made() {
    let (one, other) = (directory("one"), directory("another-place"));
    programs(&one, 0o755);
    programs(&other, 0o600);
    let first = image(&one, "umask 022; cd /; TZ=UTC");
    let second = image(&other, "umask 077; TZ=Asia/Tokyo LC_ALL=C TMPDIR=/var/tmp");
    assert!(fs::read(first).unwrap() == fs::read(second).unwrap(), "the images differ");
}

#[test]
fn the_image_is_a_layout_of_two_programs_in_which_every_digest_is_right() {
    let directory = directory("layout");
    programs(&directory, 0o755);
    let file = image(&directory, "");
    let layout = directory.join("layout");
    fs::create_dir(&layout).unwrap();
    shell(&format!("tar -C '{}' -xf '{}'", layout.display(), file.display()));
    // A blob by its descriptor, checked as who pulls it does.
    let blob = |descriptor: &Value| -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let path = layout.join("blobs/sha256").join(digest);
        assert_eq!(shell(&format!("sha256sum <'{}'", path.display())), format!("{digest}  -\n"));
        assert_eq!(descriptor["size"], fs::metadata(&path).unwrap().len());
        path
    };
    let parsed = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };

    assert_eq!(parsed(&layout.join("oci-layout")), json!({"imageLayoutVersion": "1.0.0"}));
    let index = parsed(&layout.join("index.json"));
    let annotations = json!({
        "io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": "trial",
    });
    assert_eq!(index["manifests"][0]["annotations"], annotations);
    let manifest = parsed(&blob(&index["manifests"][0]));
    let config = parsed(&blob(&manifest["config"]));
    assert_eq!(config["config"]["Entrypoint"], json!(["/rooknetctl"]));
    let layer = blob(&manifest["layers"][0]);
    let content = shell(&format!("gzip -dc '{}' | sha256sum", layer.display()));
    assert_eq!(format!("{}  -\n", config["rootfs"]["diff_ids"][0].as_str().unwrap()), format!("sha256:{content}"));
    assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), 3, "no blob that nothing names");

    let listed = shell(&format!("tar -tvzf '{}' | awk '{{print $1, $2, $6, $7, $8}}'", layer.display()));
    let listed: Vec<&str> = listed.lines().map(str::trim_end).collect();
    assert_eq!(
        listed,
        [
            "-rwxr-xr-x 0/0 rooknet",
            "-rwxr-xr-x 0/0 rooknetctl",
            "drwxr-xr-x 0/0 run/",
            "drwxr-xr-x 0/0 var/",
            "lrwxr-xr-x 0/0 var/run -> ../run",
        ]
    );
}

#[test]
fn without_a_program_there_is_no_image() {
    let directory = directory("without");
    fs::write(directory.join("rooknet"), "the program\n").unwrap();
    let [plugin, ctl, file] = ["rooknet", "rooknetctl", "image.tar"].map(|name| directory.join(name));
    let output = Command::new(script()).args([plugin, ctl, IMAGE.into(), file]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("rooknetctl is missing: run make build first"), "{said}");
    let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["rooknet"], "nothing half done");
}
