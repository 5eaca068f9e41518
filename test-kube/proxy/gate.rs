//! A TCP port that lets through, refuses or keeps silent.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use futures_util::future::{Either, select};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc as orders;
use tokio::task::JoinSet;

use crate::cluster::{ADDRESS, ApiServer, enter};
use crate::support::Node;

/// Connections that wait to be accepted, at most.
const BACKLOG: u32 = 128;

/// What a gate does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// They go on to the server.
    Open,
    /// Nobody listens: connection refused.
    Refused,
    /// They are accepted, and nothing is ever read or written.
    Silent,
}

/// A TCP port at 127.0.0.1 of a node before the API server, whose certificate holds for that address too. Dropped, it
/// closes all its connections.
pub(crate) struct Gate {
    port: u16,
    orders: Option<orders::UnboundedSender<(Passage, mpsc::Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// A gate that is open.
    pub(crate) fn start(server: &ApiServer, node: &Node) -> Self {
        let target = SocketAddr::new(ADDRESS.parse().unwrap(), server.port());
        let netns = PathBuf::from(format!("/proc/{}/ns/net", node.pid()));
        let (orders, received) = orders::unbounded_channel();
        let (port_sender, port) = mpsc::channel();
        let thread = thread::spawn(move || {
            enter(&netns);
            let keep = keep(target, received, port_sender);
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(keep);
        });
        Self { port: port.recv().expect("the gate listens"), orders: Some(orders), thread: Some(thread) }
    }

    /// Its URL on the node.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Changes what it does, and closes all connections that it has.
    pub(crate) fn set(&self, passage: Passage) {
        let (done_sender, done) = mpsc::channel();
        let orders = self.orders.as_ref().expect("the gate stands");
        orders.send((passage, done_sender)).expect("the gate's thread takes orders");
        done.recv().expect("the gate's thread obeys");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; a second one while the test unwinds would hide it.
            let _ = thread.join();
        }
    }
}

async fn keep(
    target: SocketAddr,
    mut orders: orders::UnboundedReceiver<(Passage, mpsc::Sender<()>)>,
    port: mpsc::Sender<u16>,
) {
    let first = listener_on_a_port_of_its_own();
    port.send(first.local_addr().unwrap().port()).unwrap();
    let mut listener = Some(first);
    let mut deaf = None;
    let mut passage = Passage::Open;
    let mut connections = JoinSet::new();
    loop {
        let order = match &listener {
            None => orders.recv().await,
            Some(listener) => match select(pin!(orders.recv()), pin!(listener.accept())).await {
                Either::Left((order, _)) => order,
                Either::Right((Ok((stream, _)), _)) => {
                    connections.spawn(pass(stream, target, passage));
                    continue;
                }
                Either::Right((Err(_), _)) => continue,
            },
        };
        let Some((next, done)) = order else {
            return;
        };
        passage = next;
        connections.shutdown().await;
        if passage == Passage::Refused {
            deaf = listener.take().map(deafened).or(deaf);
        } else if let Some(socket) = deaf.take() {
            listener = Some(socket.listen(BACKLOG).expect("listen on the node again"));
        }
        // The test may have given up.
        let _ = done.send(());
    }
}

/// A listener on a port that was asked for by its number: such a one stays the socket's when it stops listening.
fn listener_on_a_port_of_its_own() -> TcpListener {
    loop {
        let chosen = std::net::TcpListener::bind("127.0.0.1:0").and_then(|any| any.local_addr()).expect("a free port");
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        // Anybody may have taken it since.
        if socket.bind(chosen).is_ok() {
            return socket.listen(BACKLOG).expect("listen on the node");
        }
    }
}

/// The socket, no longer listening. Closed it would listen on for as long as a process that another test is just
/// starting has it too, and its port would be anybody's.
fn deafened(listener: TcpListener) -> TcpSocket {
    let socket = std::net::TcpStream::from(OwnedFd::from(listener.into_std().unwrap()));
    socket.shutdown(Shutdown::Read).expect("stop listening");
    TcpSocket::from_std_stream(socket)
}

async fn pass(mut stream: TcpStream, target: SocketAddr, passage: Passage) {
    if passage == Passage::Silent {
        std::future::pending::<()>().await;
    }
    if let Ok(mut server) = TcpStream::connect(target).await {
        // Either end may leave whenever it wants.
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    }
}
