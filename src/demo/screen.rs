//! How is the demo shown in a terminal? Redrawn in place; where the output goes elsewhere, as plain lines now and then.

use super::story::Line;
use crate::status::Status;
use crate::time::{Duration, Moment};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_secs(1);
/// How often plain output tells the whole picture.
const PLAIN: Duration = Duration::from_secs(5);
/// The gateway answers for its status within this, or there is no picture this time.
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// More than any status of three chargers.
const STATUS_MOST: u64 = 256 * 1024;

/// Where the demo is shown.
#[derive(Debug)]
pub struct Screen {
    page: SocketAddr,
    picture: fn(&Status) -> String,
    is_terminal: bool,
    last_line: &'static str,
    pictured_at: Option<Moment>,
}

impl Screen {
    /// Standard output, whatever it is. `picture` draws a status.
    pub fn new(page: SocketAddr, picture: fn(&Status) -> String) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Screen { page, picture, is_terminal, last_line: "", pictured_at: None }
    }

    /// How long to wait between calls of [`Screen::show`].
    pub fn pace(&self) -> Duration {
        REDRAW
    }

    /// Shows how things are.
    ///
    /// # Errors
    /// Nobody reads the output any more.
    pub async fn show(&mut self, line: Line, now: Moment) -> io::Result<()> {
        let status = status(self.page).await;
        let picture = status.as_ref().map_or_else(|| "The gateway is starting.".to_owned(), self.picture);
        let text = match self.is_terminal {
            true => self.redrawn(&picture, line),
            false => self.plain(&picture, line, now),
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn redrawn(&self, picture: &str, line: Line) -> String {
        let heading = format!("headroom demo    the page: http://{}/    Ctrl-C ends it", self.page);
        // Home, each line cleared to its end, then all below: redrawn without flicker.
        let body = [heading.as_str(), "", picture.trim_end(), "", line.words, ""].join("\n").replace('\n', "\x1b[K\n");
        format!("\x1b[H{body}\x1b[J")
    }

    fn plain(&mut self, picture: &str, line: Line, now: Moment) -> String {
        let mut text = String::new();
        if self.last_line != line.words {
            self.last_line = line.words;
            text += &format!("{:6.1} s  {}\n", line.since.as_millis() as f64 / 1000.0, line.words);
        }
        if self.pictured_at.is_none_or(|at| now.since(at) >= PLAIN) {
            if self.pictured_at.is_none() {
                text = format!("headroom demo, the page: http://{}/\n{text}", self.page);
            }
            self.pictured_at = Some(now);
            text += &format!("{}\n", picture.trim_end());
        }
        text
    }
}

/// The gateway's status as everybody gets it; `None` while it does not answer.
async fn status(page: SocketAddr) -> Option<Status> {
    let ask = async {
        let mut socket = TcpStream::connect(page).await.ok()?;
        let request = format!("GET /status.json HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        socket.take(STATUS_MOST).read_to_end(&mut answer).await.ok()?;
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        serde_json::from_slice(&answer[body..]).ok()
    };
    tokio::time::timeout(STATUS_WITHIN, ask).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router, routing::get};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_picture_is_drawn_from_the_gateways_own_status() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let page = listener.local_addr().unwrap();
        assert_eq!(status(page).await.map(|status| status.site), None, "nobody answers");
        let answer = Status { site: "demo".into(), ..Status::default() };
        let routes = Router::new().route("/status.json", get(async || Json(answer)));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        assert_eq!(status(page).await.map(|status| status.site), Some("demo".into()));
        server.abort();
    }

    #[test]
    fn plain_output_tells_a_line_once_and_the_picture_now_and_then() {
        let mut screen = Screen::new("127.0.0.1:80".parse().unwrap(), |_| String::new());
        let line = Line { since: Moment::from_millis(4_000), words: "A guest plugs in." };
        let first = screen.plain("picture", line, Moment::from_millis(4_100));
        assert_eq!(first, "headroom demo, the page: http://127.0.0.1:80/\n   4.0 s  A guest plugs in.\npicture\n");
        assert_eq!(screen.plain("picture", line, Moment::from_millis(5_100)), "");
        assert_eq!(screen.plain("picture", line, Moment::from_millis(9_100)), "picture\n");
    }
}
