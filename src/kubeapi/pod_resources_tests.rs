use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener as StdListener;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use tokio::net::UnixListener;

use super::*;
use crate::kubeapi::grpc::{MAX_ANSWER_BYTES, framed};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A directory for one test's socket, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rooknet-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("kubelet.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What a server answers: status, headers, data, trailers.
#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    data: Vec<Bytes>,
    trailers: Option<Vec<(&'static str, &'static str)>>,
}

impl Answer {
    /// A well-formed one with this message.
    fn ok(message: &[u8]) -> Self {
        Answer {
            status: 200,
            headers: vec![("content-type", "application/grpc")],
            data: vec![framed(message)],
            trailers: Some(vec![("grpc-status", "0")]),
        }
    }

    fn body(&self) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
        let trailers = self.trailers.as_ref().map(|trailers| Frame::trailers(header_map(trailers)));
        let frames = self.data.clone().into_iter().map(Frame::data).chain(trailers);
        http_body_util::StreamBody::new(futures_util::stream::iter(frames.map(Ok)))
    }
}

fn header_map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
}

/// What [`devices`] makes of an answer, for pod `rook-ceph/osd-0`. The request must be as gRPC has it.
fn asked(name: &str, answer: Answer) -> Result<Devices, Error> {
    let place = Place::new(name);
    block_on(async {
        let listener = UnixListener::bind(place.socket()).unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    assert_eq!(request.method(), "POST");
                    assert_eq!(request.uri().path(), "/v1.PodResourcesLister/List");
                    assert_eq!(request.headers()["content-type"], "application/grpc");
                    assert_eq!(request.headers()["te"], "trailers");
                    assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), &[0; 5][..]);
                    let mut response = Response::builder().status(answer.status).body(answer.body()).unwrap();
                    *response.headers_mut() = header_map(&answer.headers);
                    Ok::<_, Infallible>(response)
                }
            });
            let _ = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        let devices =
            devices(&place.socket(), "rook-ceph", "osd-0", &Deadline::without_signals(Duration::from_secs(60))).await;
        serving.abort();
        devices
    })
}

fn pod(namespace: &str, name: &str, devices: &[(&str, &[&str])]) -> PodResources {
    let given = devices.iter().map(|(resource, ids)| ContainerDevices {
        resource_name: (*resource).to_owned(),
        device_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    });
    // A container for each, as pods with several have it.
    let containers = given.map(|given| ContainerResources { name: "c".into(), devices: vec![given] }).collect();
    PodResources { name: name.into(), namespace: namespace.into(), containers }
}

fn list_of(pods: Vec<PodResources>) -> Vec<u8> {
    ListResponse { pod_resources: pods }.encode_to_vec()
}

#[test]
fn a_pods_devices_are_those_of_all_its_containers_in_the_kubelets_order_each_once() {
    let answer = list_of(vec![
        pod("default", "osd-0", &[("intel.com/sriov", &["other"])]),
        pod(
            "rook-ceph",
            "osd-0",
            &[("intel.com/sriov", &["b", "a"]), ("x/y", &["1"]), ("intel.com/sriov", &["c", "b"])],
        ),
    ]);
    // Cut where frames of HTTP/2 do not care.
    let mut cut = Answer::ok(&answer);
    let whole = cut.data[0].clone();
    cut.data = vec![whole.slice(..3), whole.slice(3..7), whole.slice(7..)];
    let devices = asked("order", cut).unwrap();
    assert_eq!(devices.of("intel.com/sriov"), ["b", "a", "c"]);
    assert_eq!(devices.of("x/y"), ["1"]);
    assert_eq!(devices.of("intel.com"), Vec::<String>::new());
}

#[test]
fn fields_of_later_services_are_passed_over() {
    // A field 9 of each kind of value before and behind a pod.
    let mut message = vec![0x48, 0x96, 0x01, 0x4a, 0x02, b'h', b'i'];
    message.extend(list_of(vec![pod("rook-ceph", "osd-0", &[("a/b", &["1"])])]));
    message.extend([0x4d, 1, 2, 3, 4]);
    assert_eq!(asked("fields", Answer::ok(&message)).unwrap().of("a/b"), ["1"]);
}

#[test]
fn a_pod_that_is_missing_or_listed_twice_is_an_error_that_may_pass() {
    for (name, pods, words) in [
        ("missing", vec![pod("default", "osd-0", &[]), pod("rook-ceph", "osd-1", &[])], "does not contain the pod"),
        ("twice", vec![pod("rook-ceph", "osd-0", &[]), pod("rook-ceph", "osd-0", &[])], "more than once"),
    ] {
        let error = asked(name, Answer::ok(&list_of(pods))).unwrap_err().to_cni();
        assert_eq!(error.code, Code::TRY_AGAIN_LATER, "{error}");
        assert!(error.message.contains(words) && error.message.contains("pod rook-ceph/osd-0"), "{error}");
    }
}

#[test]
fn a_status_is_told_wherever_it_stands_with_its_message_printable() {
    let refused = vec![("grpc-status", "8"), ("grpc-message", "rate%0Alimit 50%")];
    let only_trailers = Answer {
        headers: [vec![("content-type", "application/grpc")], refused.clone()].concat(),
        data: Vec::new(),
        trailers: None,
        ..Answer::ok(b"")
    };
    let behind_data = Answer { trailers: Some(refused), ..Answer::ok(b"") };
    for (name, answer) in [("only", only_trailers), ("behind", behind_data)] {
        let error = asked(name, answer).unwrap_err().to_cni();
        assert_eq!(error.code, Code::TRY_AGAIN_LATER);
        assert!(error.message.ends_with(r"it refused with gRPC status 8: rate\nlimit 50%"), "{error}");
    }
}

#[test]
fn an_answer_that_is_none_of_the_services_is_refused_as_malformed() {
    let message = list_of(vec![pod("rook-ceph", "osd-0", &[])]);
    let good = || Answer::ok(&message);
    let with_data = |data: Vec<u8>| Answer { data: vec![data.into()], ..good() };
    let mut compressed = framed(&message).to_vec();
    compressed[0] = 1;
    let mut longer = framed(&message).to_vec();
    longer.push(0);
    let too_much = u32::try_from(MAX_ANSWER_BYTES + 1).unwrap().to_be_bytes();
    let rows = [
        ("status", Answer { status: 404, ..good() }, "HTTP status 404"),
        (
            "type",
            Answer { headers: vec![("content-type", "application/grpcx")], ..good() },
            "content-type \"application/grpcx\"",
        ),
        ("untyped", Answer { headers: Vec::new(), ..good() }, "content-type \"\""),
        ("trailers", Answer { trailers: None, ..good() }, "no grpc-status"),
        ("number", Answer { trailers: Some(vec![("grpc-status", "fine")]), ..good() }, "grpc-status \"fine\""),
        ("empty", Answer { data: Vec::new(), ..good() }, "no message"),
        ("short", with_data(vec![0, 0, 0]), "no message"),
        ("compressed", with_data(compressed), "compressed"),
        ("longer", with_data(longer), "are announced"),
        ("announced", with_data([&[0][..], &too_much[..]].concat()), "more than 16777216 bytes"),
        ("undecodable", Answer::ok(&[0x0a, 0xff]), "malformed"),
        ("bytes", Answer { data: vec![vec![0; 1 << 20].into(); 17], ..good() }, "more than 16777216 bytes"),
    ];
    for (name, answer, words) in rows {
        let error = asked(name, answer).unwrap_err().to_cni();
        assert_eq!(error.code, Code::DECODE, "{name}: {error}");
        assert!(error.message.contains(words), "{name}: {error}");
    }
}

#[test]
fn a_content_type_may_say_what_it_carries() {
    let message = list_of(vec![pod("rook-ceph", "osd-0", &[])]);
    for (name, content_type) in [("plus", "application/grpc+proto"), ("semicolon", "application/grpc;x=y")] {
        let answer = Answer { headers: vec![("content-type", content_type)], ..Answer::ok(&message) };
        assert_eq!(asked(name, answer).unwrap(), Devices::default());
    }
}

#[test]
fn without_a_kubelet_the_error_names_the_socket_and_may_pass() {
    let place = Place::new("absent");
    let deadline = Deadline::without_signals(Duration::from_secs(60));
    let ask = || block_on(devices(&place.socket(), "rook-ceph", "osd-0", &deadline)).unwrap_err();
    assert!(matches!(ask().cause, Cause::Call(Failure::Missing)));
    // A socket that a dead kubelet left.
    drop(StdListener::bind(place.socket()).unwrap());
    assert!(matches!(ask().cause, Cause::Call(Failure::Connect(_))));
    let error = ask().to_cni();
    assert_eq!(error.code, Code::TRY_AGAIN_LATER);
    assert!(error.message.contains(&place.socket().display().to_string()), "{error}");
}

#[test]
fn a_kubelet_that_does_not_answer_is_given_up_at_the_deadline() {
    let place = Place::new("slow");
    let _listener = StdListener::bind(place.socket()).unwrap();
    let deadline = Deadline::without_signals(Duration::from_millis(20));
    let error = block_on(devices(&place.socket(), "rook-ceph", "osd-0", &deadline)).unwrap_err();
    assert!(matches!(error.cause, Cause::Call(Failure::Late(_))), "{error}");
    assert_eq!(error.to_cni().code, Code::TRY_AGAIN_LATER);
}

#[test]
fn what_does_not_speak_http2_is_a_failed_connection() {
    use std::io::Write as _;
    let place = Place::new("garbage");
    let listener = StdListener::bind(place.socket()).unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the other side has given up.
        let _ = io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    let deadline = Deadline::without_signals(Duration::from_secs(60));
    let error = block_on(devices(&place.socket(), "rook-ceph", "osd-0", &deadline)).unwrap_err();
    serving.join().unwrap();
    assert!(
        matches!(&error.cause, Cause::Call(Failure::Connection(reason)) if reason.len() > "http2 error".len()),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_answer_is_devices_or_an_error(message in any::<Vec<u8>>()) {
        if let Ok(answer) = ListResponse::decode(message.as_slice()) {
            let _ = devices_of(answer, "rook-ceph", "osd-0");
        }
    }
}
