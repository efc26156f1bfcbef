//! How does it come, and the word about it go? Asked for once, and told until it is taken.

use super::{Prepared, PreparedResult};
use crate::clock::Clock;
use crate::cloud::CloudState;
use crate::cloud::keeping::task::Save;
use crate::cloud::offer::Offers;
use crate::cloud::pace::Pace;
use crate::cloud::route::Route;
use crate::cloud::route::task::{ask, read};
use crate::cloud::trouble::Trouble;
use crate::cloud::uplink::task::Lane;
use headroom_policy::{Addressee, Code, Faults, MOST_ENVELOPE_BYTES, Trust, parse_prepared};
use reqwest::StatusCode;
use std::sync::Arc;
use tokio::sync::watch;

/// Where it is kept, and what became of the one that is.
pub struct Shelf {
    /// Of the one that this start has found; `None`: there is none yet.
    pub found: Option<Prepared>,
    /// Keeps the TOML.
    pub save: Save,
}

/// What it takes to ask for one.
pub struct Preparing {
    pub route: Arc<Route>,
    pub offers: watch::Receiver<Offers>,
    pub addressee: Addressee,
    /// Whose word counts: as for documents.
    pub trust: watch::Receiver<Trust>,
    pub state: watch::Receiver<CloudState>,
    pub clock: Clock,
}

impl Preparing {
    /// Has one kept if there is none, and tells the cloud.
    pub async fn run(mut self, shelf: Shelf) {
        let (route, offers) = (self.route.clone(), self.offers.clone());
        let mut lane = Lane::new("preconfiguration/result", &route, &offers);
        let is_good = shelf.found.as_ref().is_some_and(|found| found.result == PreparedResult::Applied);
        if let Some(found) = &shelf.found {
            tell(&mut lane, found).await;
        }
        // One that cannot be used may have been mended since.
        if !is_good && let Some(fetched) = self.fetch(&shelf.save).await {
            tell(&mut lane, &fetched).await;
        }
    }

    /// `None`: nothing was prepared.
    async fn fetch(&mut self, save: &Save) -> Option<Prepared> {
        let mut pace = Pace::new(self.route.gateway_id());
        loop {
            self.offers.wait_for(|offers| offers.preconfiguration).await.ok()?;
            let faults = match self.once().await {
                Ok(None) => return None,
                Ok(Some(Ok(toml))) => match keep(save, toml).await {
                    Ok(()) => {
                        tracing::warn!("a preconfiguration was prepared for this site: the next start uses it");
                        return Some(Prepared { result: PreparedResult::Kept, told: vec![] });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a preconfiguration cannot be kept. Check the disk");
                        None
                    }
                },
                Ok(Some(Err(faults))) => Some(faults),
                Err(trouble) => {
                    tracing::debug!(%trouble, "no preconfiguration yet");
                    None
                }
            };
            // With the next policy there may be a key for it.
            if let Some(faults) = faults.filter(|faults| !faults.has(Code::UnknownKey)) {
                tracing::warn!(refused = %faults, "the cloud's preconfiguration is refused; correct it there");
                return Some(Prepared { result: PreparedResult::Refused, told: vec![faults.to_string()] });
            }
            tokio::time::sleep(pace.after_failure()).await;
        }
    }

    /// `None`: there is none.
    async fn once(&self) -> Result<Option<Result<String, Faults>>, Trouble> {
        let response = ask(&self.route, "preconfiguration", None, None).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => return Ok(None),
            other => return Err(Trouble::Status(other.as_u16())),
        }
        let Some(bytes) = read(response, MOST_ENVELOPE_BYTES).await? else {
            let text = format!("is longer than {MOST_ENVELOPE_BYTES} bytes");
            return Ok(Some(Err(Faults::one(Code::TooLarge, "", text))));
        };
        let wall = self.state.borrow().wall(self.clock.wall());
        let opened = self.trust.borrow().open_prepared(&bytes, wall).map(std::borrow::Cow::into_owned);
        Ok(Some(opened.and_then(|payload| parse_prepared(&payload, &self.addressee))))
    }
}

async fn tell(lane: &mut Lane<'_>, told: &Prepared) {
    loop {
        lane.is_wanted(|offers| offers.preconfiguration).await;
        // Words and texts always become JSON.
        match lane.post(serde_json::to_vec(told).unwrap_or_default()).await {
            Ok(_) => return lane.through(),
            Err(trouble) => lane.rest(trouble).await,
        }
    }
}

async fn keep(save: &Save, toml: String) -> std::io::Result<()> {
    let save = save.clone();
    tokio::task::spawn_blocking(move || save(toml.as_bytes())).await.unwrap_or_else(|error| Err(error.into()))
}
