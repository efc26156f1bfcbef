//! Where does the demo's policy come from? One document over HTTP, with an ETag, as the policy cloud serves it.

use super::peer::Peer;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// A cloud with one document.
#[derive(Debug)]
pub struct Cloud {
    /// Where it listens.
    pub peer: Peer,
    document: Arc<Mutex<String>>,
}

impl Cloud {
    /// Replaces the document.
    pub fn publish(&self, document: String) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }
}

/// Serves `document` to whatever gateway asks for its policy; `port` 0 takes a free one.
///
/// # Errors
/// The port is taken.
pub async fn start(port: u16, document: String) -> io::Result<Cloud> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let document = Arc::new(Mutex::new(document));
    let routes = Router::new().route("/v1/gateways/{gateway}/policy", get(policy)).with_state(Arc::clone(&document));
    let work = async move {
        if let Err(fault) = axum::serve(listener, routes).await {
            tracing::warn!("the demo's policy cloud has stopped: {fault}");
        }
    };
    Ok(Cloud { peer: Peer::new(address, work), document })
}

async fn policy(State(document): State<Arc<Mutex<String>>>, headers: HeaderMap) -> Response {
    let document = document.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut hasher = DefaultHasher::new();
    document.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let tag = [(header::ETAG, etag), (header::CACHE_CONTROL, "no-store".to_owned())];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, tag).into_response(),
        false => (tag, [(header::CONTENT_TYPE, "application/json")], document).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn ask(cloud: &Cloud, etag: &str) -> String {
        let mut socket = TcpStream::connect(cloud.peer.address).await.unwrap();
        let request = format!(
            "GET /v1/gateways/gw/policy HTTP/1.1\r\nhost: x\r\nif-none-match: {etag}\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_document_is_sent_once_and_again_when_it_has_changed() {
        let cloud = start(0, r#"{"version":1}"#.into()).await.unwrap();
        let first = ask(&cloud, "").await;
        assert!(first.starts_with("HTTP/1.1 200") && first.ends_with(r#"{"version":1}"#), "{first}");
        let etag = first.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
        assert!(ask(&cloud, &etag).await.starts_with("HTTP/1.1 304"));
        cloud.publish(r#"{"version":2}"#.into());
        assert!(ask(&cloud, &etag).await.ends_with(r#"{"version":2}"#));
        cloud.peer.stop().await;
    }
}
