//! A netlink socket that receives every answer whole.
//!
//! netlink-proto reads into 64 KiB and drops an answer that does not fit. The kernel's answer about one link can be
//! longer: a pod may give its interface so many alternative names that it is, and would never be deleted then.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use netlink_sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};

/// As tokio's, but asks for each datagram's length before it reads.
pub(super) struct WholeSocket(TokioSocket);

impl AsyncSocket for WholeSocket {
    fn socket_ref(&self) -> &Socket {
        self.0.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.0.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        TokioSocket::new(protocol).map(WholeSocket)
    }

    fn poll_send(&self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_send(context, buffer)
    }

    fn poll_send_to(&self, context: &mut Context<'_>, buffer: &[u8], address: &SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(context, buffer, address)
    }

    fn poll_recv<B: BufMut>(&self, context: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.poll_recv_from(context, buffer)).map(drop))
    }

    fn poll_recv_from<B: BufMut>(&self, context: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<SocketAddr>> {
        let (answer, address) = ready!(self.0.poll_recv_from_full(context))?;
        if buffer.remaining_mut() < answer.len() {
            return Poll::Ready(Err(io::Error::other("the buffer for an answer cannot grow")));
        }
        buffer.put_slice(&answer);
        Poll::Ready(Ok(address))
    }

    fn poll_recv_from_full(&self, context: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.0.poll_recv_from_full(context)
    }
}
