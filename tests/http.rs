//! Does the page's server keep its promises over real sockets? Every route, a slow reader, too many, and rude ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test falls over where something is missing"
)]

use headroom::clock::Clock;
use headroom::http::{CONNECTIONS_MOST, STREAMS_MOST, serve};
use headroom::status::{CircuitStatus, EvseStatus, Status};
use headroom::units::{Amps, PerPhase};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn every_route_answers_with_its_media_type_and_the_headers() {
    let page = Page::open();
    page.show(picture(7));
    let routes = [
        ("/", "text/html"),
        ("/app.css", "text/css"),
        ("/app.js", "text/javascript"),
        ("/bars.js", "text/javascript"),
        ("/cars.js", "text/javascript"),
        ("/chart.js", "text/javascript"),
        ("/words.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
        ("/status.json", "application/json"),
        ("/history.json", "application/json"),
        ("/events", "text/event-stream"),
        ("/metrics", "text/plain"),
        ("/healthz", "text/plain"),
    ];
    page.until_healthy().await;
    for (path, media) in routes {
        let answer = page.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_string();
        assert!(header("content-type").starts_with(media), "{path}: {}", header("content-type"));
        assert!(header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(!header("content-security-policy").contains("unsafe"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path}");
    }
}

#[tokio::test]
async fn what_the_page_links_to_is_there() {
    let page = Page::open();
    let mut waiting = vec!["/".to_string()];
    let mut seen = Vec::new();
    while let Some(path) = waiting.pop() {
        let answer = page.get(&path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let text = answer.text().await.unwrap();
        for quoted in text.split(['"', '\'']).filter(|part| !part.contains(' ')) {
            let name = quoted.trim_start_matches("./");
            let path = format!("/{name}");
            let is_file = name.ends_with(".js") || name.ends_with(".css") || name.ends_with(".svg");
            if is_file && !seen.contains(&path) {
                seen.push(path.clone());
                waiting.push(path);
            }
        }
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

#[tokio::test]
async fn the_status_is_the_one_that_was_published() {
    let page = Page::open();
    page.show(picture(7));
    let text = page.get("/status.json").await.text().await.unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), picture(7));
    page.until_healthy().await;
    let metrics = page.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("headroom_circuit_house_amperes{circuit=\"main\",phase=\"L1\"} 7\n"), "{metrics}");
    let history: serde_json::Value =
        serde_json::from_str(&page.get("/history.json").await.text().await.unwrap()).unwrap();
    for (span, step) in [(0, 1), (1, 60)] {
        assert_eq!(history["spans"][span]["step_s"], step);
        let house = history["spans"][span]["house_a"][0].as_array().unwrap();
        assert!(house.contains(&7.0.into()), "{history}");
    }
}

#[test]
fn every_field_and_every_metric_is_in_the_manual() {
    let manual = include_str!("../docs/STATUS.md");
    let status = include_str!("../src/status/mod.rs");
    let fields = status.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let mut count = 0;
    for (field, _) in fields {
        count += 1;
        assert!(manual.contains(&format!("`{field}`")) || manual.contains(&format!("`{field}[]`")), "{field}");
    }
    assert!(count > 40, "{count} fields");
    let metrics = include_str!("../src/http/metrics.rs");
    for name in metrics.split('"').filter(|name| name.starts_with("evse_") || name.ends_with("_seconds")) {
        assert!(manual.contains(&format!("headroom_{name}")), "{name}");
    }
}

#[tokio::test]
async fn nothing_can_be_changed_and_nothing_else_is_served() {
    let page = Page::open();
    for path in ["/", "/status.json", "/events", "/metrics"] {
        let answer = page.client.post(page.url(path)).body("x".repeat(100_000)).send().await;
        // A server that refuses may close before it has read all.
        assert!(answer.as_ref().is_ok_and(|answer| answer.status() == 405) || answer.is_err(), "{path}");
    }
    for path in ["/nothing", "/../Cargo.toml", "/app.js/", "/%00"] {
        assert_eq!(page.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn health_follows_the_steps() {
    let page = Page::open();
    assert_eq!(page.get("/healthz").await.status(), 503);
    page.show(picture(1));
    page.until_healthy().await;
}

#[tokio::test]
async fn a_stream_begins_with_what_is_known_and_goes_on_with_news() {
    let page = Page::open();
    let mut events = page.events().await;
    let (name, _) = events.next().await;
    assert_eq!(name, "old", "before the first step nothing is live");
    page.show(picture(3));
    assert_eq!(events.next().await, ("status".into(), picture(3)));
    page.show(picture(4));
    assert_eq!(events.next().await, ("status".into(), picture(4)));
    assert_eq!(page.events().await.next().await, ("status".into(), picture(4)));
}

#[tokio::test]
async fn a_stream_is_paced() {
    let page = Page::open();
    let mut events = page.events().await;
    events.next().await;
    let feed = async {
        for house in 0..100 {
            page.show(picture(house));
            sleep(Duration::from_millis(10)).await;
        }
    };
    let listen = async {
        let mut count = 0;
        loop {
            count += 1;
            if events.next().await.1 == picture(99) {
                return count;
            }
        }
    };
    let clock = Clock::start();
    let ((), count) = tokio::join!(feed, listen);
    // Two a second, one at once, one that was under way.
    let most = clock.now().as_millis() / 500 + 2;
    assert!((2..=most).contains(&count), "{count} events, {most} at most");
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_no_queue_of_old() {
    let page = Page::open();
    let big = |house: i32| Status { name: "x".repeat(4_000_000), ..picture(house) };
    page.show(big(0));
    page.until_healthy().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut slow = socket.connect(page.address).await.unwrap();
    slow.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    for house in 1..=6 {
        page.show(big(house));
        sleep(Duration::from_millis(550)).await;
    }
    let mut heard = Vec::new();
    let mut tail = String::new();
    let mut buffer = vec![0; 256 * 1024];
    while heard.last() != Some(&6) {
        let count = timeout(Duration::from_secs(10), slow.read(&mut buffer)).await.unwrap().unwrap();
        assert!(count > 0, "closed after {heard:?}");
        // Of the x's only a few are kept: enough to know the field that follows them.
        tail.push_str(&String::from_utf8_lossy(&buffer[..count]).replace("xxxxxxxx", "x"));
        while let Some((before, after)) = tail.split_once("\"house_a\":[") {
            let Some((house, _)) = after.split_once('.') else { break };
            heard.push(house.parse::<i32>().unwrap());
            tail = tail[before.len() + 11..].to_string();
        }
    }
    assert!(heard.len() <= 3, "{heard:?}");
}

#[tokio::test]
async fn one_browser_too_many_is_told_so_and_gets_in_when_another_leaves() {
    let page = Page::open();
    let mut watching = Vec::new();
    for _ in 0..STREAMS_MOST {
        let mut events = page.events().await;
        events.next().await;
        watching.push(events);
    }
    let refused = page.get("/events").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(page.get("/").await.status(), 200, "the page itself still loads");
    watching.pop();
    for _ in 0..50 {
        // The server notices a reader that has gone when it writes the next event.
        page.show(picture(1));
        if page.get("/events").await.status() == 200 {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("no place came free");
}

#[tokio::test]
async fn connections_have_an_end_in_number() {
    let page = Page::open();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MOST {
        open.push(TcpStream::connect(page.address).await.unwrap());
    }
    let mut extra = TcpStream::connect(page.address).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(3), extra.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&answer));
    drop(open);
    page.until_served().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_or_never_ends_is_cut() {
    let page = Page::open();
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(500));
    let garbage = "\u{16}\u{3}\u{1} hello\r\n\r\n".to_string();
    for (what, request) in [("long", long), ("many", many), ("garbage", garbage)] {
        let answer = page.rude(&request).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
    }
    let never_ends = page.rude("GET / HTTP/1.1\r\nHost: x\r\nX: ").await;
    assert!(!never_ends.starts_with("HTTP/1.1 200"), "{never_ends}");
    page.until_served().await;
}

#[tokio::test]
async fn the_server_ends_with_its_task() {
    let page = Page::open();
    let mut events = page.events().await;
    events.next().await;
    page.task.abort();
    let _ = timeout(Duration::from_secs(5), events.end()).await.expect("the stream is cut");
    assert!(TcpStream::connect(page.address).await.is_err());
}

/// A server on a free port, and a client for it.
struct Page {
    address: SocketAddr,
    status: watch::Sender<Arc<Status>>,
    client: reqwest::Client,
    task: tokio::task::JoinHandle<()>,
}

impl Page {
    fn open() -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (status, watch) = watch::channel(Arc::new(Status::default()));
        let (address, task) = serve(([127, 0, 0, 1], 0).into(), watch, Clock::start()).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Page { address, status, client, task }
    }

    fn show(&self, status: Status) {
        self.status.send_replace(Arc::new(status));
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    async fn events(&self) -> Events {
        Events { response: self.get("/events").await, text: String::new() }
    }

    async fn until_healthy(&self) {
        for _ in 0..100 {
            if self.get("/healthz").await.status() == 200 {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("never healthy");
    }

    async fn until_served(&self) {
        for _ in 0..100 {
            if self.client.get(self.url("/")).send().await.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("never served again");
    }

    /// What comes back until the server closes, which it does within 10 s.
    async fn rude(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may close while we still write.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("the server closes");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// One event stream.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn next(&mut self) -> (String, Status) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let lines: Vec<String> = event.lines().map(String::from).collect();
                self.text = rest.to_string();
                let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).map(String::from);
                if let (Some(name), Some(status)) = (field("event: "), field("data: ")) {
                    return (name, serde_json::from_str(&status).unwrap());
                }
                continue;
            }
            let chunk = timeout(Duration::from_secs(10), self.response.chunk()).await.expect("an event within 10 s");
            self.text += std::str::from_utf8(&chunk.unwrap().expect("the stream goes on")).unwrap();
        }
    }

    async fn end(mut self) -> reqwest::Result<()> {
        while self.response.chunk().await?.is_some() {}
        Ok(())
    }
}

fn picture(house: i32) -> Status {
    let amps = |amps| PerPhase::all(Amps::whole(amps));
    Status {
        version: "0.1.0".into(),
        site: "home".into(),
        phases: 3,
        circuits: vec![CircuitStatus {
            id: "main".into(),
            freshness: "fresh".into(),
            limit_a: amps(25),
            margin_a: amps(1),
            house_a: Some(amps(house)),
            cars_a: amps(6),
            headroom_a: Some(amps(18 - house)),
            ..CircuitStatus::default()
        }],
        evses: vec![EvseStatus { id: "left".into(), name: "</script><b>".into(), ..EvseStatus::default() }],
        ..Status::default()
    }
}
