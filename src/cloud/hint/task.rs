//! How are hints listened to? Over one connection that stays open, where the cloud offers it; built again with ever
//! longer waits when it ends.

use super::Reader;
use crate::cloud::offer::Offers;
use crate::cloud::pace::Pace;
use crate::cloud::route::{self, Route};
use crate::cloud::trouble::Trouble;
use crate::time::Duration;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::{Notify, watch};

/// A stream that says nothing for so long is taken for dead; a cloud sends a comment at least every 30 s.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);

/// From one piece of the stream to the next: whoever sends without end is slowed down by TCP, and takes no processor.
const READ_GAP: Duration = Duration::from_millis(100);

/// Listens for good; each hint is one word to whoever waits on `hinted`, and many before he looks are one.
pub async fn listen(route: &Route, mut offers: watch::Receiver<Offers>, hinted: &Notify) {
    let mut pace = Pace::new(route.gateway_id());
    loop {
        if offers.wait_for(|offers| offers.hints).await.is_err() {
            return;
        }
        let mut is_heard = false;
        let trouble = tokio::select! {
            trouble = stream(route, hinted, &mut is_heard) => trouble,
            _ = offers.wait_for(|offers| !offers.hints) => continue,
        };
        if is_heard {
            pace.after_answer(Duration::ZERO);
        }
        let wait = pace.after_failure();
        // No warning: without hints the questions go on as ever.
        tracing::debug!(%trouble, wait_s = wait.as_secs(), "policy cloud: no hints");
        tokio::time::sleep(wait).await;
    }
}

/// Until the stream ends, which is always trouble.
async fn stream(route: &Route, hinted: &Notify, is_heard: &mut bool) -> Trouble {
    let ended = async {
        let request = route.get("hints")?.header(ACCEPT, "text/event-stream");
        let sent = tokio::time::timeout(LONGEST_SILENCE, request.send());
        let mut response = sent.await.map_err(|_| Trouble::TooSlow)?.map_err(route::trouble)?;
        if response.status() != StatusCode::OK {
            return Err(Trouble::Status(response.status().as_u16()));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(Trouble::Meaningless);
        }
        let mut reader = Reader::default();
        loop {
            let chunk = tokio::time::timeout(LONGEST_SILENCE, response.chunk());
            let chunk = chunk.await.map_err(|_| Trouble::TooSlow)?.map_err(route::trouble)?;
            let Some(chunk) = chunk else { return Err(Trouble::NoAnswer("the stream of hints ended".into())) };
            if reader.feed(&chunk, route.gateway_id()) {
                *is_heard = true;
                hinted.notify_one();
            }
            tokio::time::sleep(READ_GAP).await;
        }
    };
    let ended: Result<(), Trouble> = ended.await;
    ended.err().unwrap_or(Trouble::Meaningless)
}
