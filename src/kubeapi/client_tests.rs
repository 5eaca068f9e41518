use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use hyper::Version;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::cni::Code;
use crate::kubeapi::testing::*;

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn requests_at_once_share_one_http2_connection() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        let tls = authority.serve(&authority.issue(&["127.0.0.1"], |_| {}), &["h2", "http/1.1"], false);
        let server = Server::start("127.0.0.1", Some(tls), |_, _| ok("{}")).await;
        write(&directory.path().join("ca.crt"), &authority.pem());
        let client = client(&directory, &json!({"server": server.url("https"), "certificate-authority": "ca.crt"}));
        for answer in join_all((0..20).map(|_| get(&client))).await {
            assert_eq!(text(answer).unwrap(), "{}");
        }
        get(&client).await.unwrap();
        let seen = server.seen();
        assert_eq!((server.connections(), seen.len()), (1, 21));
        assert!(seen.iter().all(|request| request.version == Version::HTTP_2));
        assert_eq!(seen[0].uri, format!("{}/api/v1/pods", server.url("https")));
    });
}

#[test]
fn without_http2_each_request_has_a_connection_and_idle_ones_are_used_again() {
    block_on(async {
        for alpn in [&["http/1.1"][..], &[]] {
            let (directory, authority) = (Directory::new(), Authority::new());
            let tls = authority.serve(&authority.issue(&["127.0.0.1"], |_| {}), alpn, false);
            let server = Server::start("127.0.0.1", Some(tls), |_, _| ok("{}")).await;
            write(&directory.path().join("ca.crt"), &authority.pem());
            let client = client(&directory, &json!({"server": server.url("https"), "certificate-authority": "ca.crt"}));
            for _ in 0..3 {
                assert_eq!(text(get(&client).await).unwrap(), "{}");
            }
            assert_eq!(server.connections(), 1);
            join_all((0..4).map(|_| get(&client))).await.into_iter().for_each(|answer| drop(answer.unwrap()));
            assert!(server.connections() <= 4, "{}", server.connections());
            assert!(server.seen().iter().all(|request| request.version == Version::HTTP_11));
            assert_eq!(server.seen()[0].header("host"), server.address.to_string());
        }
    });
}

#[test]
fn a_request_carries_what_an_api_server_wants() {
    block_on(async {
        let directory = Directory::new();
        let server = Server::start("127.0.0.1", None, |_, _| Reply::With(201, Vec::new(), "{}".to_owned())).await;
        let client = client(&directory, &json!({"server": format!("{}/k8s/clusters/c-1/", server.url("http"))}));
        let deadline = Deadline::without_signals(LONG);
        for (method, verb, content_type) in [
            (Method::Get, "GET", ""),
            (Method::Patch, "PATCH", "application/merge-patch+json"),
            (Method::Post, "POST", "application/json"),
        ] {
            let answer = call(&client, method, &deadline).await.unwrap();
            assert_eq!(answer.server, format!("{}/k8s/clusters/c-1", server.url("http")));
            let seen = server.seen().pop().unwrap();
            assert_eq!((seen.method.as_str(), seen.uri.as_str()), (verb, "/k8s/clusters/c-1/api/v1/pods"));
            assert_eq!(seen.header("content-type"), content_type);
            assert_eq!(seen.header("accept"), "application/json");
            assert_eq!(seen.header("user-agent"), concat!("rooknet/", env!("CARGO_PKG_VERSION")));
            assert_eq!(seen.header("authorization"), format!("Bearer {TOKEN}"));
            assert_eq!(seen.body, if method == Method::Get { "" } else { "{}" });
        }
    });
}

#[test]
fn an_ipv6_address_and_a_name_lead_to_the_server() {
    block_on(async {
        let directory = Directory::new();
        let server = Server::start("::1", None, |_, _| ok("six")).await;
        assert_eq!(text(get(&plain_client(&directory, &server)).await).unwrap(), "six");
        assert_eq!(server.seen()[0].header("host"), format!("[::1]:{}", server.address.port()));
        // The name may have addresses at which nobody listens.
        let server = Server::start("127.0.0.1", None, |_, _| ok("four")).await;
        let cluster = json!({"server": format!("http://localhost:{}", server.address.port())});
        assert_eq!(text(get(&client(&directory, &cluster)).await).unwrap(), "four");
    });
}

#[test]
fn a_server_that_comes_up_later_is_waited_for() {
    block_on(async {
        let directory = Directory::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = client(&directory, &json!({"server": format!("http://{address}")}));
        let begin = async {
            // The client has seen the refusal as soon as it counts a try that failed.
            while locked(&client.session).as_ref().is_none_or(|session| session.pool.failures() == 0) {
                tokio::task::yield_now().await;
            }
            Server::on(TcpListener::bind(address).await.unwrap(), None, |_, _| ok("up"))
        };
        let (answer, server) = futures_util::future::join(get(&client), begin).await;
        assert_eq!(text(answer).unwrap(), "up");
        assert_eq!(server.seen().len(), 1);
    });
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        write(&directory.path().join("ca.crt"), &authority.pem());
        for alpn in ["h2", "http/1.1"] {
            let tls = authority.serve(&authority.issue(&["127.0.0.1"], |_| {}), &[alpn], false);
            let cut_twice = |number, _: &Seen| if number < 2 { Reply::Cut } else { ok("whole") };
            let server = Server::start("127.0.0.1", Some(tls), cut_twice).await;
            let client = client(&directory, &json!({"server": server.url("https"), "certificate-authority": "ca.crt"}));
            let deadline = Deadline::without_signals(LONG);
            assert_eq!(text(call(&client, Method::Post, &deadline).await).unwrap(), "whole", "{alpn}");
            assert_eq!(server.seen().len(), 3, "{alpn}");
        }
    });
}

#[test]
fn a_connection_that_ends_without_an_answer_is_reported_at_the_deadline() {
    block_on(async {
        let directory = Directory::new();
        for text in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
            let address = raw_server(text, false).await;
            let client = client(&directory, &json!({"server": format!("http://{address}")}));
            let error = call(&client, Method::Get, &Deadline::without_signals(SHORT)).await.unwrap_err();
            assert_eq!(error.to_cni().code, Code::TRY_AGAIN_LATER);
            let message = error.to_string();
            assert!(message.starts_with(&format!("CALL pod a/b to http://{address} (")), "{message}");
            assert!(message.contains("the deadline has passed; the last failure: "), "{message}");
        }
    });
}

#[test]
fn a_try_without_an_answer_is_given_up_for_another_on_a_new_connection() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        write(&directory.path().join("ca.crt"), &authority.pem());
        for alpn in ["h2", "http/1.1"] {
            let tls = authority.serve(&authority.issue(&["127.0.0.1"], |_| {}), &[alpn], false);
            let first_is_silent = |number, _: &Seen| if number == 0 { Reply::Silence } else { ok("heard") };
            let server = Server::start("127.0.0.1", Some(tls), first_is_silent).await;
            let mut client =
                client(&directory, &json!({"server": server.url("https"), "certificate-authority": "ca.crt"}));
            client.bounds.answer = SHORT;
            assert_eq!(text(get(&client).await).unwrap(), "heard", "{alpn}");
            assert!(server.connections() >= 2, "{alpn}");
        }
    });
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    block_on(async {
        let directory = Directory::new();
        let server = Server::start("127.0.0.1", None, |number, _| match number {
            0 => Reply::With(429, vec![("retry-after", "1".to_owned())], String::new()),
            1 => Reply::With(503, vec![("retry-after", "0".to_owned())], String::new()),
            _ => ok("{}"),
        })
        .await;
        assert_eq!(text(get(&plain_client(&directory, &server)).await).unwrap(), "{}");
        assert_eq!(server.seen().len(), 3);
    });
}

#[test]
fn a_server_that_asks_for_more_patience_than_there_is_ends_the_request_at_once() {
    block_on(async {
        let directory = Directory::new();
        let busy = |_, _: &Seen| Reply::With(429, vec![("retry-after", "3600".to_owned())], "busy".to_owned());
        let server = Server::start("127.0.0.1", None, busy).await;
        let error = get(&plain_client(&directory, &server)).await.unwrap_err();
        assert_eq!((error.status(), error.to_cni().code), (Some(429), Code::TRY_AGAIN_LATER));
        let expected = "429 Too Many Requests: busy; it wants to be asked again in 3600 s, past the deadline";
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(server.seen().len(), 1);
    });
}

#[test]
fn a_conflict_is_tried_again_for_a_patch_only() {
    block_on(async {
        let directory = Directory::new();
        let deadline = Deadline::without_signals(LONG);
        for (method, requests) in [(Method::Patch, 2), (Method::Post, 1), (Method::Get, 1)] {
            let once = |number, _: &Seen| if number == 0 { status(409, "Conflict") } else { ok("{}") };
            let server = Server::start("127.0.0.1", None, once).await;
            let answer = call(&plain_client(&directory, &server), method, &deadline).await;
            assert_eq!(answer.is_ok(), method == Method::Patch, "{method:?}");
            assert_eq!(server.seen().len(), requests, "{method:?}");
        }
    });
}

#[test]
fn a_fault_of_the_server_is_tried_again_until_the_deadline_which_names_it() {
    block_on(async {
        let directory = Directory::new();
        for code in [500, 502, 503, 504] {
            let server = Server::start("127.0.0.1", None, move |_, _| status(code, "Broken")).await;
            let client = plain_client(&directory, &server);
            let error = call(&client, Method::Get, &Deadline::without_signals(SHORT)).await.unwrap_err();
            assert!(server.seen().len() > 1);
            assert_eq!((error.status(), error.to_cni().code), (None, Code::TRY_AGAIN_LATER));
            let expected = format!("the deadline has passed; the last failure: {code} Broken: words of Broken");
            assert!(error.to_string().ends_with(&expected), "{error}");
        }
    });
}

#[test]
fn a_refusal_is_final_after_one_request_and_has_the_servers_words() {
    block_on(async {
        let directory = Directory::new();
        let deadline = Deadline::without_signals(LONG);
        for (code, reason) in [(400, "BadRequest"), (403, "Forbidden"), (404, "NotFound"), (422, "Invalid")] {
            let server = Server::start("127.0.0.1", None, move |_, _| status(code, reason)).await;
            let error = call(&plain_client(&directory, &server), Method::Patch, &deadline).await.unwrap_err();
            assert_eq!((error.status(), error.to_cni().code), (Some(code), Code::API));
            let url = server.url("http");
            assert_eq!(error.to_string(), format!("CALL pod a/b to {url}: {code} {reason}: words of {reason}"));
            assert_eq!(server.seen().len(), 1);
        }
    });
}

#[test]
fn a_redirection_is_not_followed() {
    block_on(async {
        let directory = Directory::new();
        let away =
            |_, _: &Seen| Reply::With(302, vec![("location", "https://login.example/".to_owned())], String::new());
        let server = Server::start("127.0.0.1", None, away).await;
        let error = get(&plain_client(&directory, &server)).await.unwrap_err().to_string();
        assert!(error.ends_with("302 Found: it points to https://login.example/: correct the key server"), "{error}");
    });
}

/// A server that takes only `token`.
#[test]
fn an_answer_may_have_its_limit_and_not_a_byte_more() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        write(&directory.path().join("ca.crt"), &authority.pem());
        for alpn in ["h2", "http/1.1"] {
            let tls = authority.serve(&authority.issue(&["127.0.0.1"], |_| {}), &[alpn], false);
            let by_number = |number, _: &Seen| ok(&"a".repeat(if number == 1 { 1001 } else { 1000 }));
            let server = Server::start("127.0.0.1", Some(tls), by_number).await;
            let client = client(&directory, &json!({"server": server.url("https"), "certificate-authority": "ca.crt"}));
            assert_eq!(get(&client).await.unwrap().body.len(), 1000);
            let error = get(&client).await.unwrap_err();
            assert!(error.to_string().ends_with(": the answer is longer than 1000 bytes"), "{error}");
            assert_eq!(error.to_cni().code, Code::IO);
            assert_eq!(get(&client).await.unwrap().body.len(), 1000, "{alpn}: the client is still good");
            assert_eq!(server.seen().len(), 3);
        }
    });
}

#[test]
fn the_body_of_an_error_is_read_as_far_as_it_says_something() {
    block_on(async {
        let directory = Directory::new();
        let server =
            Server::start("127.0.0.1", None, |_, _| Reply::With(403, Vec::new(), "b".repeat(10_000_000))).await;
        let error = get(&plain_client(&directory, &server)).await.unwrap_err();
        assert!(error.to_string().ends_with(&format!("403 Forbidden: {}", "b".repeat(200))));
    });
}

#[test]
fn headers_without_an_end_are_given_up() {
    block_on(async {
        let directory = Directory::new();
        for text in
            ["HTTP/1.1 200 OK\r\n", "a: b\r\n", "HTTP/1.1 200 OK\r\na: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            let address = raw_server(text, true).await;
            let error = get(&client(&directory, &json!({"server": format!("http://{address}")}))).await.unwrap_err();
            assert!(matches!(error, Error::Unusable { tries: 1, .. }), "{error}");
            assert!(error.to_string().contains("of its answer") || error.to_string().contains("HTTP"), "{error}");
        }
    });
}

#[test]
fn an_answer_that_never_ends_is_ended_by_the_deadline() {
    block_on(async {
        let directory = Directory::new();
        for reply in [Reply::Drip, Reply::Silence] {
            let server = Server::start("127.0.0.1", None, move |_, _| reply.clone()).await;
            let client = plain_client(&directory, &server);
            let error = call(&client, Method::Get, &Deadline::without_signals(SHORT)).await.unwrap_err();
            assert!(error.to_string().ends_with("the deadline has passed; there was no answer yet"), "{error}");
            assert_eq!(server.seen().len(), 1);
        }
    });
}

#[test]
fn after_the_deadline_nothing_is_read_or_opened() {
    block_on(async {
        let client = Client::new(Source::new("/nonexistent"));
        let error = call(&client, Method::Get, &Deadline::without_signals(Duration::ZERO)).await.unwrap_err();
        let expected = "CALL pod a/b to the API server of kubeconfig /nonexistent: the deadline has passed; nothing was \
                        tried any more";
        assert_eq!(error.to_string(), expected);
    });
}

#[test]
fn a_name_that_does_not_resolve_is_tried_again_until_the_deadline() {
    block_on(async {
        let directory = Directory::new();
        // RFC 6761, section 6.4: this name never exists.
        let client = client(&directory, &json!({"server": "http://none.invalid:6443"}));
        let error = call(&client, Method::Get, &Deadline::without_signals(SHORT)).await.unwrap_err();
        assert!(matches!(error, Error::Interrupted { cause: Reason::Deadline, .. }), "{error}");
    });
}

#[test]
fn requests_that_wait_for_a_connection_share_the_failure_of_opening_it() {
    block_on(async {
        let directory = Directory::new();
        let opened = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counted = Arc::clone(&opened);
        tokio::spawn(async move {
            loop {
                // Closed before the handshake.
                drop(listener.accept().await.unwrap());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let cluster = json!({"server": format!("https://{address}"), "insecure-skip-tls-verify": true});
        let client = client(&directory, &cluster);
        let deadline = Deadline::without_signals(SHORT);
        let results = join_all((0..50).map(|_| call(&client, Method::Get, &deadline))).await;
        let mut tries = 0;
        for result in results {
            let Err(Error::Interrupted { tries: own, .. }) = result else { panic!("{result:?}") };
            tries += own;
        }
        let opened = opened.load(Ordering::Relaxed);
        assert!(u32::try_from(opened).unwrap() < tries / 2, "{opened} connections for {tries} tries");
    });
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_costs_no_request() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        write(&directory.path().join("ca.crt"), &authority.pem());
        for alpn in ["h2", "http/1.1"] {
            let tls = authority.serve(&authority.issue(&["127.0.0.1"], |_| {}), &[alpn], false);
            let server = Server::start("127.0.0.1", Some(tls), |_, _| ok("{}")).await;
            let client = client(&directory, &json!({"server": server.url("https"), "certificate-authority": "ca.crt"}));
            for round in 1..4 {
                get(&client).await.unwrap();
                // HTTP/2 says GOAWAY, HTTP/1.1 just ends.
                server.close_connections();
                server.closed().await;
                assert_eq!((server.connections(), server.seen().len()), (round, round), "{alpn}");
            }
        }
    });
}

#[test]
fn a_refusal_by_a_server_that_was_just_away_is_asked_about_again_for_a_while() {
    block_on(async {
        let directory = Directory::new();
        for away in [Reply::Cut, status(503, "Starting")] {
            let starting = move |number, _: &Seen| match number {
                0 => away.clone(),
                1 | 2 => status(403, "Forbidden"),
                3 => ok("{}"),
                _ => status(403, "Forbidden"),
            };
            let server = Server::start("127.0.0.1", None, starting).await;
            let mut client = plain_client(&directory, &server);
            assert_eq!(text(get(&client).await).unwrap(), "{}");
            assert_eq!(server.seen().len(), 4);
            client.bounds.start = SHORT;
            let error = get(&client).await.unwrap_err();
            assert_eq!(error.status(), Some(403), "{error}");
        }
    });
}
