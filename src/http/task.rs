//! Who answers the browsers? One accept loop, one task a connection, one feed that paces what all of them see.

use super::history::History;
use super::{metrics, page};
use crate::clock::Clock;
use crate::status::Status;
use crate::time::{Duration, Moment};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures_util::stream;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Browsers that may watch live at a time: a house's phones and a wall display many times over; each costs some kB.
pub const STREAMS_MOST: usize = 32;
/// Connections at a time: a browser opens up to six, most for a moment.
pub const CONNECTIONS_MOST: usize = 96;
/// Connections that the kernel holds for us while we are busy: a page load or two.
const BACKLOG: u32 = 64;
/// No more than two pictures a second: eyes and old phones gain nothing from more.
const PACE: Duration = Duration::from_millis(500);
/// A comment this often shows proxies and browsers that a quiet stream lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// An older picture is not called live. Control steps at least once a second, so five were missed.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// A stream ends by itself and the browser dials again: what hangs half-open holds its place no longer.
const STREAM_LONGEST: Duration = Duration::from_secs(10 * 60);
/// A connection whose peer does not even read the stream's end is cut.
const CONNECTION_LONGEST: Duration = Duration::from_secs(11 * 60);
/// The head of a request arrives within this, and an idle connection asks again within it.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// All of a request's head, and what we buffer for a slow reader: 8 kB is the least that hyper takes, browsers send 1.
const HEAD_MOST: usize = 16 * 1024;
/// Lines in a request's head: browsers send about 15.
const HEADERS_MOST: usize = 48;
/// The kernel's buffer for a slow reader. Small, so that such a one soon gets the newest picture and not a queue of old.
const SEND_BUFFER: u32 = 64 * 1024;
/// After a failed accept (such as no file descriptors left) we wait for others to close.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What a connection too many is told before it is closed.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves page, events, history, metrics until the returned task is aborted or the sender of `status` is gone.
/// Needs a tokio runtime. The address is the one bound, for port 0.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve(
    listen: SocketAddr,
    status: watch::Receiver<Arc<Status>>,
    clock: Clock,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = bind(listen)?;
    let address = listener.local_addr()?;
    let (frames, newest) = watch::channel(Frame::of(&status.borrow(), None));
    let history = Arc::new(Mutex::new(History::new()));
    let outlet = Outlet {
        status: status.clone(),
        newest,
        history: history.clone(),
        streams: Arc::new(Semaphore::new(STREAMS_MOST)),
        clock,
    };
    let task = tokio::spawn(async move {
        tokio::select! {
            () = feed(status, frames, history, clock) => {}
            () = accept(listener, routes(outlet)) => {}
        }
    });
    Ok((address, task))
}

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// One picture as it goes over the wire; all streams share its bytes.
#[derive(Debug, Clone)]
struct Frame {
    json: Bytes,
    /// When it was true; `None` for what was there before the first step.
    heard: Option<Moment>,
}

impl Frame {
    fn of(status: &Status, heard: Option<Moment>) -> Self {
        // Serialising strings and numbers into memory has no way to fail; an empty object would show as "no data".
        let json = serde_json::to_vec(status).unwrap_or_else(|_| b"{}".to_vec());
        Frame { json: json.into(), heard }
    }

    fn is_live(&self, now: Moment) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) <= STALE_AFTER)
    }

    /// As a server-sent event. One that is old already has another name, so that no page takes it for news.
    fn event(&self, now: Moment) -> Bytes {
        let name: &[u8] = if self.is_live(now) { b"event: status\ndata: " } else { b"event: old\ndata: " };
        [name, &self.json, b"\n\n"].concat().into()
    }
}

/// Hands each status to the history and the newest, paced, to the streams.
async fn feed(
    mut status: watch::Receiver<Arc<Status>>,
    frames: watch::Sender<Frame>,
    history: Arc<Mutex<History>>,
    clock: Clock,
) {
    let mut due = clock.now();
    let mut waiting: Option<(Arc<Status>, Moment)> = None;
    loop {
        tokio::select! {
            changed = status.changed() => {
                if changed.is_err() {
                    return;
                }
                let newest = status.borrow_and_update().clone();
                let now = clock.now();
                history.lock().unwrap_or_else(PoisonError::into_inner).push(now, &newest);
                waiting = Some((newest, now));
            }
            () = sleep(due.since(clock.now())), if waiting.is_some() => {
                if let Some((newest, heard)) = waiting.take() {
                    frames.send_replace(Frame::of(&newest, Some(heard)));
                }
                due = clock.now() + PACE;
            }
        }
    }
}

/// What the routes share.
#[derive(Clone)]
struct Outlet {
    status: watch::Receiver<Arc<Status>>,
    newest: watch::Receiver<Frame>,
    history: Arc<Mutex<History>>,
    streams: Arc<Semaphore>,
    clock: Clock,
}

fn routes(outlet: Outlet) -> Router {
    let mut routes = Router::new();
    for file in &page::FILES {
        routes = routes.route(file.path, get(async || ([(header::CONTENT_TYPE, file.media)], file.text)));
    }
    routes
        .route("/status.json", get(status_json))
        .route("/events", get(events))
        .route("/history.json", get(history_json))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(health))
        .fallback(async || (StatusCode::NOT_FOUND, "nothing here; the page is at /\n"))
        .layer(axum::middleware::map_response(with_headers))
        .with_state(outlet)
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in &page::HEADERS {
        response.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
    }
    response
}

async fn status_json(State(outlet): State<Outlet>) -> Response {
    let status = outlet.status.borrow().clone();
    Json(&*status).into_response()
}

async fn history_json(State(outlet): State<Outlet>) -> Response {
    let (now, wall) = (outlet.clock.now(), outlet.clock.wall());
    let reading = outlet.history.lock().unwrap_or_else(PoisonError::into_inner).read(now, wall);
    Json(reading).into_response()
}

async fn metrics_text(State(outlet): State<Outlet>) -> Response {
    let status = outlet.status.borrow().clone();
    ([(header::CONTENT_TYPE, metrics::MEDIA)], metrics::metrics(&status)).into_response()
}

async fn health(State(outlet): State<Outlet>) -> Response {
    let is_live = outlet.newest.borrow().is_live(outlet.clock.now());
    match is_live {
        true => "ok\n".into_response(),
        false => {
            let text = format!("no step for {} s or more; see the log\n", STALE_AFTER.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn events(State(outlet): State<Outlet>) -> Response {
    let Ok(place) = outlet.streams.clone().try_acquire_owned() else {
        let text = format!("{STREAMS_MOST} browsers watch already; close one\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], text).into_response();
    };
    let until = outlet.clock.now() + STREAM_LONGEST;
    let viewer = Viewer { newest: outlet.newest, is_first: true, until, clock: outlet.clock, _place: place };
    let body = Body::from_stream(stream::unfold(viewer, Viewer::next));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// One open stream. It queues nothing: when its socket takes more, it looks up what is newest.
struct Viewer {
    newest: watch::Receiver<Frame>,
    is_first: bool,
    until: Moment,
    clock: Clock,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Viewer)> {
        if self.clock.now() >= self.until {
            return None;
        }
        if !std::mem::take(&mut self.is_first) {
            match timeout(HEARTBEAT, self.newest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Ok(Bytes::from_static(b": still here\n\n")), self)),
            }
        }
        let event = self.newest.borrow_and_update().event(self.clock.now());
        Some((Ok(event), self))
    }
}

async fn accept(listener: TcpListener, routes: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MOST => {
                    connections.spawn(converse(stream, routes.clone()));
                }
                Ok((stream, peer)) => {
                    tracing::debug!(%peer, "page: {CONNECTIONS_MOST} connections are open, turned one away");
                    let _ = stream.try_write(FULL);
                }
                Err(error) => {
                    tracing::debug!(%error, "page: a connection failed before it began");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// One connection to its end; how it ends concerns nobody but the browser.
async fn converse(stream: TcpStream, routes: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MOST)
        .max_headers(HEADERS_MOST)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Ok(Err(error)) = timeout(CONNECTION_LONGEST, connection).await {
        tracing::debug!(%error, "page: a connection ended early");
    }
}
