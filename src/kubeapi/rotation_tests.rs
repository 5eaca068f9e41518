//! Credentials that change, or are wrong, while requests are made.

use serde_json::json;

use super::*;
use crate::cni::Code;
use crate::kubeapi::testing::*;

async fn picky(token: &'static str) -> Server {
    let bearer = format!("Bearer {token}");
    let reply = move |_, seen: &Seen| {
        if seen.header("authorization") == bearer { ok("{}") } else { status(401, "Unauthorized") }
    };
    Server::start("127.0.0.1", None, reply).await
}

#[test]
fn a_401_reads_the_kubeconfig_again_and_goes_where_it_says_now() {
    block_on(async {
        let directory = Directory::new();
        let (former, now) = (picky("nobody's").await, picky("SECRET-token-2").await);
        let client = plain_client(&directory, &former);
        get(&client).await.unwrap_err();
        write_kubeconfig(&directory, &json!({"server": now.url("http")}), &json!({"token": "SECRET-token-2"}));
        let answer = get(&client).await.unwrap();
        assert_eq!(answer.server, now.url("http"));
        assert_eq!((former.seen().len(), now.seen().len()), (3, 1));
    });
}

#[test]
fn credentials_that_are_refused_twice_end_the_request_without_showing_them() {
    block_on(async {
        let directory = Directory::new();
        let server = picky("nobody's").await;
        let client = plain_client(&directory, &server);
        let error = get(&client).await.unwrap_err();
        assert_eq!((error.status(), error.to_cni().code), (Some(401), Code::API));
        assert!(error.to_string().contains("(2 tries): 401 Unauthorized: words of Unauthorized"), "{error}");
        let hint = format!("; the credentials of {} have expired", client.source.described());
        assert!(error.to_string().contains(&hint), "{error}");
        assert_eq!((server.seen().len(), server.connections()), (2, 1));
        for shown in
            [error.to_string(), format!("{error:?}"), format!("{client:?}"), format!("{:?}", client.source.read())]
        {
            assert!(!shown.contains("SECRET"), "{shown}");
        }
    });
}

#[test]
fn a_token_file_that_is_rotated_is_read_for_each_request() {
    block_on(async {
        let directory = Directory::new();
        let server = picky("SECRET-token-2").await;
        let path = directory.path().join("token");
        write(&path, "SECRET-token-2\n");
        for source in [
            {
                write(&directory.path().join("server"), &format!("{}\n", server.url("http")));
                directory.path().to_owned()
            },
            write_kubeconfig(&directory, &json!({"server": server.url("http")}), &json!({"tokenFile": "token"})),
        ] {
            let client = Client::new(Source::new(source));
            write(&path, "SECRET-token-2\n");
            get(&client).await.unwrap();
            write(&path, "SECRET-token-3\n");
            get(&client).await.unwrap_err();
            write(&path, "SECRET-token-2\n");
            let before = server.seen().len();
            get(&client).await.unwrap();
            assert_eq!(server.seen().len(), before + 1, "the new token is sent at once");
        }
    });
}

#[test]
fn a_token_that_is_rotated_between_reading_and_answer_does_not_fail_the_request() {
    block_on(async {
        let directory = Directory::new();
        let path = directory.path().join("token");
        write(&path, "SECRET-token-1");
        let rotated = path.clone();
        let server = Server::start("127.0.0.1", None, move |_, seen| {
            if seen.header("authorization") == "Bearer SECRET-token-2" {
                return ok("{}");
            }
            write(&rotated, "SECRET-token-2");
            status(401, "Unauthorized")
        })
        .await;
        let path = write_kubeconfig(&directory, &json!({"server": server.url("http")}), &json!({"tokenFile": "token"}));
        assert_eq!(text(get(&Client::new(Source::new(path))).await).unwrap(), "{}");
        assert_eq!(server.seen().len(), 2);
    });
}

#[test]
fn credentials_that_cannot_be_used_fail_before_anything_is_opened() {
    block_on(async {
        let directory = Directory::new();
        let server = Server::start("127.0.0.1", None, |_, _| ok("{}")).await;
        let cluster = json!({"server": server.url("http")});
        for (user, code, expected) in [
            (json!({"token": "SECRET two"}), Code::INVALID_CONFIG, "key token of user \"rooknet\" has blanks"),
            (json!({"tokenFile": "none"}), Code::IO, "/none does not exist: create it"),
            (json!({"exec": {"command": "SECRET"}}), Code::INVALID_CONFIG, "key exec of user \"rooknet\""),
        ] {
            let path = write_kubeconfig(&directory, &cluster, &user);
            let error = get(&Client::new(Source::new(path.clone()))).await.unwrap_err();
            assert_eq!(error.to_cni().code, code, "{error}");
            let message = error.to_string();
            assert!(message.starts_with(&format!("CALL pod a/b: kubeconfig {}: ", path.display())), "{message}");
            assert!(message.contains(expected) && !message.contains("SECRET"), "{message}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn credentials_that_are_just_being_written_are_waited_for() {
    block_on(async {
        let directory = Directory::new();
        let path = directory.path().join("token");
        write(&path, TOKEN);
        let rotated = path.clone();
        let server = Server::start("127.0.0.1", None, move |_, seen| {
            if seen.header("authorization") == "Bearer SECRET-token-2" {
                return ok("{}");
            }
            write(&rotated, "");
            let rotated = rotated.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(10)).await;
                write(&rotated, "SECRET-token-2");
            });
            status(401, "Unauthorized")
        })
        .await;
        let path = write_kubeconfig(&directory, &json!({"server": server.url("http")}), &json!({"tokenFile": "token"}));
        assert_eq!(text(get(&Client::new(Source::new(path))).await).unwrap(), "{}");
        assert_eq!(server.seen().len(), 2);
    });
}
