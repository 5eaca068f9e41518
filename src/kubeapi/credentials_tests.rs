use super::*;
use crate::kubeapi::testing::{Directory, TOKEN, write, write_kubeconfig};
use serde_json::json;

fn header(token: &Token) -> Result<String, Error> {
    token.header().map(|header| header.unwrap().to_str().unwrap().to_owned())
}

#[test]
fn a_service_accounts_directory_has_three_files() {
    let directory = Directory::new();
    let path = directory.path();
    let source = Source::new(path);
    let missing = |name: &str| {
        let error = source.read().unwrap_err();
        assert_eq!(error.code, Code::IO);
        assert_eq!(error.message, format!("file {} does not exist: create it", path.join(name).display()));
    };
    missing("server");
    write(&path.join("server"), "https://[fd00::1]:6443\n");
    missing("ca.crt");
    write(&path.join("ca.crt"), "authority");
    let credentials = source.read().unwrap();
    assert_eq!(credentials.endpoint.server.to_string(), "https://[fd00::1]:6443");
    let origin = format!("file {}", path.join("ca.crt").display());
    assert_eq!(credentials.endpoint.trust, Trust::Authorities(Pem { text: b"authority".to_vec(), origin }));
    assert_eq!(credentials.endpoint.origin, format!("the service account in {}", path.display()));
    assert!(credentials.token.header().unwrap_err().message.contains("/token does not exist: create it"));
    write(&path.join("token"), &format!("{TOKEN}\n"));
    assert_eq!(header(&credentials.token).unwrap(), format!("Bearer {TOKEN}"));
    write(&path.join("server"), "10.0.0.1\n");
    let error = source.read().unwrap_err();
    assert_eq!(error.code, Code::INVALID_CONFIG);
    assert!(error.message.ends_with("/server is not the address of an API server: write https://HOST:PORT"), "{error}");
}

#[test]
fn a_token_that_no_header_can_carry_is_an_error_that_does_not_show_it() {
    for (text, expected) in [
        ("", "x has no token in it: write one"),
        (" \n", "x has no token in it: write one"),
        (&"SECRET".repeat(20_000), "120000 bytes"),
        ("SECRET two", "blanks, line breaks"),
        ("SECRET\ntwo", "blanks, line breaks"),
        ("SECRET\u{e4}", "characters other than ASCII"),
        ("SECRET\0", "which no header can carry"),
    ] {
        let error = header(&Token::Text(Secret(text.to_owned()), "x".to_owned())).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        assert!(error.message.contains(expected) && !error.message.contains("SECRET"), "{text:?}: {error}");
    }
    let token = Token::Text(Secret(format!(" {TOKEN}\n")), "x".to_owned());
    assert!(token.header().unwrap().unwrap().is_sensitive());
    assert_eq!(header(&token).unwrap(), format!("Bearer {TOKEN}"));
}

#[test]
fn a_tokens_file_wins_over_the_token_beside_it_as_long_as_it_can_be_read() {
    let directory = Directory::new();
    let file = directory.path().join("token");
    write(&file, "SECRET-from-file");
    let user = json!({"token": TOKEN, "tokenFile": "token"});
    let path = write_kubeconfig(&directory, &json!({"server": "https://a"}), &user);
    let token = Source::new(path).read().unwrap().token;
    assert_eq!(header(&token).unwrap(), "Bearer SECRET-from-file");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(header(&token).unwrap(), format!("Bearer {TOKEN}"));
}

#[test]
fn files_that_are_no_text_too_large_or_no_files_are_errors() {
    let directory = Directory::new();
    let path = directory.path().join("kubeconfig");
    let source = Source::new(&path);
    let error = source.read().unwrap_err();
    let shown = path.display();
    assert_eq!(error.code, Code::IO);
    assert_eq!(error.message, format!("kubeconfig {shown} does not exist: create it, or correct the path"));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = source.read().unwrap_err();
    assert_eq!(error.code, Code::INVALID_CONFIG);
    assert_eq!(error.message, format!("file {shown} is not a text in UTF-8"));
    write(&path, &"#".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1));
    let error = source.read().unwrap_err();
    assert_eq!((error.code, error.message), (Code::IO, format!("{shown} is larger than 1048576 bytes")));
    let error = Source::new("/dev/null").read().unwrap_err();
    assert_eq!(error.code, Code::IO);
}
