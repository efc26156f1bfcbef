//! What is a connection before it is a WebSocket? A visitor who has to come to the point, and is shown out otherwise.
//!
//! The HTTP server has no timeout of its own here: without this, whoever connects and says nothing holds a place for ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

/// A connection; its place is free again when it is dropped.
pub struct Visitor {
    stream: TcpStream,
    patience: Pin<Box<Sleep>>,
    may_stay: Arc<AtomicBool>,
    _place: OwnedSemaphorePermit,
}

/// What is known of a connection when its request has been read.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where it comes from.
    pub from: SocketAddr,
    may_stay: Arc<AtomicBool>,
}

impl Visitor {
    /// Reading fails once `patience` is over, unless the visitor may stay by then.
    pub fn new(stream: TcpStream, patience: Sleep, place: OwnedSemaphorePermit) -> Self {
        Visitor { stream, patience: Box::pin(patience), may_stay: Arc::default(), _place: place }
    }

    /// For whoever answers its request.
    pub fn arrival(&self, from: SocketAddr) -> Arrival {
        Arrival { from, may_stay: self.may_stay.clone() }
    }
}

impl Arrival {
    /// It has become a WebSocket, which has timeouts of its own.
    pub fn let_stay(&self) {
        self.may_stay.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Visitor {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.may_stay.load(Ordering::Relaxed) && self.patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
