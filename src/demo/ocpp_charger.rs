//! How does the virtual OCPP charger talk? The sockets' side: it dials, logs in, dials again after a loss.
//!
//! What it says and understands is in [`super::ocpp_talk`].

use super::ocpp_talk::Talk;
use super::peer::{SharedPlant, Task};
use crate::site::EvseId;
use crate::time::Duration;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, header};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How often it looks whether there is something to say.
const LOOK: Duration = Duration::from_millis(200);
/// The first wait after a lost connection; it doubles up to [`RECONNECT_MOST`].
const RECONNECT: Duration = Duration::from_millis(500);
/// The longest wait between attempts: the demo's gateway is back at once.
const RECONNECT_MOST: Duration = Duration::from_secs(4);

/// Where it dials in and as whom.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Such as `ws://127.0.0.1:9000/ocpp`; the identity follows.
    pub url: String,
    /// Its identity.
    pub identity: String,
    /// For basic authentication; `None`: without.
    pub password: Option<String>,
    /// How often it tells its currents until it is told otherwise.
    pub meter_every: Duration,
}

/// Starts it.
pub fn start(plant: &SharedPlant, evse: EvseId, dial: Dial) -> Task {
    let plant = plant.clone();
    Task::spawn(async move {
        let mut talk = Talk::new(evse, dial.identity.clone(), dial.meter_every);
        let mut wait = RECONNECT;
        loop {
            if plant.with(|plant| plant.is_linked(evse)) {
                match connect(&dial).await {
                    Ok(socket) => {
                        wait = RECONNECT;
                        if let Err(fault) = converse(&plant, evse, socket, &mut talk).await {
                            tracing::debug!(identity = dial.identity, "virtual charger: connection lost: {fault}");
                        }
                    }
                    Err(fault) => {
                        tracing::debug!(identity = dial.identity, "virtual charger: cannot connect: {fault}");
                        wait = (wait * 2).min(RECONNECT_MOST);
                    }
                }
            }
            tokio::time::sleep(wait).await;
        }
    })
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(dial: &Dial) -> Result<Socket, Error> {
    let mut request: Request<()> = format!("{}/{}", dial.url, dial.identity).into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("ocpp1.6"));
    if let Some(password) = &dial.password {
        let login = BASE64_STANDARD.encode(format!("{}:{password}", dial.identity));
        if let Ok(login) = HeaderValue::from_str(&format!("Basic {login}")) {
            headers.insert(header::AUTHORIZATION, login);
        }
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

/// Until the connection is lost, or the plant says that it is: then the socket is dropped without a word.
async fn converse(plant: &SharedPlant, evse: EvseId, socket: Socket, talk: &mut Talk) -> Result<(), Error> {
    let (mut outgoing, mut incoming) = socket.split();
    let mut looks = tokio::time::interval(LOOK);
    talk.connected();
    loop {
        let frames = tokio::select! {
            message = incoming.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let wall = plant.clock().wall();
                    plant.with(|plant| talk.hear(text.as_str(), plant, wall))
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                // Pings are answered below us.
                Some(Ok(_)) => Vec::new(),
                Some(Err(fault)) => return Err(fault),
            },
            _ = looks.tick() => {
                if !plant.with(|plant| plant.is_linked(evse)) {
                    return Ok(());
                }
                let wall = plant.clock().wall();
                plant.with(|plant| talk.look(plant, wall)).into_iter().collect()
            }
        };
        for frame in frames {
            outgoing.send(Message::text(frame)).await?;
        }
        if talk.is_unanswered(plant.clock().now()) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tests::{shared, site_of};
    use crate::sim::Action;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

    /// Takes the next connection; its path and login.
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    async fn take(listener: &TcpListener) -> (WebSocketStream<TcpStream>, String) {
        let mut seen = String::new();
        let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let login = request.headers()[header::AUTHORIZATION].to_str().unwrap();
            seen = format!("{} {login}", request.uri().path());
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("ocpp1.6"));
            Ok(response)
        };
        let (stream, _) = listener.accept().await.unwrap();
        let socket = accept_hdr_async(stream, callback).await.unwrap();
        (socket, seen)
    }

    /// The next call, answered with `payload`.
    async fn next(socket: &mut WebSocketStream<TcpStream>, payload: Value) -> (String, Value) {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("it says nothing");
        let call: Value = serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap();
        socket.send(Message::text(json!([3, call[1], payload]).to_string())).await.unwrap();
        (call[2].as_str().unwrap().to_owned(), call[3].clone())
    }

    #[tokio::test]
    async fn it_logs_in_boots_and_comes_back_after_a_loss() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plant = shared(&site_of(&["left"]));
        let dial = Dial {
            url: format!("ws://{}/ocpp", listener.local_addr().unwrap()),
            identity: "HOME-1".into(),
            password: Some("secret".into()),
            meter_every: Duration::from_secs(2),
        };
        let charger = start(&plant, EvseId(0), dial);
        let (mut socket, seen) = take(&listener).await;
        assert_eq!(seen, "/ocpp/HOME-1 Basic SE9NRS0xOnNlY3JldA==");
        assert_eq!(next(&mut socket, json!({"status": "Accepted", "interval": 60})).await.0, "BootNotification");
        let (action, status) = next(&mut socket, json!({})).await;
        assert_eq!((action.as_str(), &status["status"]), ("StatusNotification", &json!("Available")));

        plant.with(|plant| plant.act(&Action::Link(EvseId(0), false)));
        assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))), "it is gone");
        plant.with(|plant| plant.act(&Action::Link(EvseId(0), true)));
        let (mut socket, _) = take(&listener).await;
        assert_eq!(next(&mut socket, json!({"status": "Accepted"})).await.0, "BootNotification");
        charger.stop().await;
    }
}
