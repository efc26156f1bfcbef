//! How is a question put? With the entity tag of what is known, held at the cloud where it does that, and read with a bound.

use super::{Route, trouble};
use crate::cloud::standing::MOST_ETAG;
use crate::cloud::trouble::Trouble;
use crate::time::Duration;
use reqwest::Response;
use reqwest::header::{ETAG, HeaderMap, IF_NONE_MATCH};

/// Asks for `what` unless it still has this entity tag, and has the question held for so long.
pub async fn ask(route: &Route, what: &str, etag: Option<&str>, held: Option<Duration>) -> Result<Response, Trouble> {
    let place = held.map_or(what.to_owned(), |held| format!("{what}?wait={}", held.as_secs()));
    let mut request = route.get(&place)?.timeout(route.answer() + held.unwrap_or_default());
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    request.send().await.map_err(trouble)
}

/// The body, of so many bytes at most, whatever length is announced; `None`: it is longer.
pub async fn read(mut response: Response, most: usize) -> Result<Option<Vec<u8>>, Trouble> {
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(trouble)? {
        if bytes.len() + chunk.len() > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// The entity tag of an answer, if it is one to be sent back.
pub fn tag(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().filter(|tag| tag.len() <= MOST_ETAG).map(str::to_owned)
}
