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
