//! How is the cloud reached? One client for all questions, with the token, to one address and no other.

pub(super) mod task;

use super::trouble::Trouble;
use crate::config::CloudConfig;
use crate::time::Duration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use std::sync::Mutex;

/// The longest that one question takes, from connecting to the last byte: 1 MiB over a very slow line. It is never longer
/// than the time between two questions, as an answer after that is of no use.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// A question is given at least this long.
const SHORTEST_ANSWER: Duration = Duration::from_secs(1);

/// What a gateway's id must not say plainly in a path: all but the unreserved characters of RFC 3986.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The way to the cloud.
#[derive(Debug)]
pub struct Route {
    config: CloudConfig,
    /// Built at the first question that can: with no CA certificates (yet) there is no TLS.
    client: Mutex<Option<Client>>,
}

impl Route {
    /// To this cloud.
    pub fn new(config: CloudConfig) -> Self {
        Route { config, client: Mutex::new(None) }
    }

    /// As in the configuration.
    pub fn gateway_id(&self) -> &str {
        &self.config.gateway_id
    }

    /// The longest that a question may take which the cloud answers at once.
    pub fn answer(&self) -> Duration {
        self.config.refresh.clamp(SHORTEST_ANSWER, LONGEST_ANSWER)
    }

    /// How often to ask where nothing else says.
    pub fn refresh(&self) -> Duration {
        self.config.refresh
    }

    /// A question, without an end of its own; `place` such as `policy`.
    pub fn get(&self, place: &str) -> Result<RequestBuilder, Trouble> {
        let request = self.client()?.get(self.address(place));
        Ok(match &self.config.token {
            Some(token) => request.bearer_auth(&token.0),
            None => request,
        })
    }

    /// Something to be taken, as JSON.
    pub fn post(&self, place: &str, json: Vec<u8>) -> Result<RequestBuilder, Trouble> {
        let request = self.client()?.post(self.address(place)).timeout(LONGEST_ANSWER);
        let request = request.header(CONTENT_TYPE, "application/json").body(json);
        Ok(match &self.config.token {
            Some(token) => request.bearer_auth(&token.0),
            None => request,
        })
    }

    fn address(&self, place: &str) -> String {
        let gateway = utf8_percent_encode(&self.config.gateway_id, &RESERVED);
        format!("{}/v1/gateways/{gateway}/{place}", self.config.url.trim_end_matches('/'))
    }

    fn client(&self) -> Result<Client, Trouble> {
        let mut client = self.client.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let built = self.build().map_err(|error| Trouble::NoClient(words(error)))?;
        Ok(client.insert(built).clone())
    }

    fn build(&self) -> reqwest::Result<Client> {
        // A second call fails and changes nothing: some other part of the program was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .user_agent(concat!("headroom/", env!("CARGO_PKG_VERSION")))
            // The token is for this address and no other.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(LONGEST_ANSWER);
        // Plain http needs no certificates, and must work on a machine that has none.
        if is_plain(&self.config.url) { builder.tls_certs_only([]).build() } else { builder.build() }
    }
}

/// Does everybody on the way read along?
pub fn is_plain(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}

/// Why a question got no answer.
pub fn trouble(error: reqwest::Error) -> Trouble {
    if error.is_timeout() { Trouble::TooSlow } else { Trouble::NoAnswer(words(error)) }
}

/// The innermost cause, which says most; without the address, which may hold a password.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
