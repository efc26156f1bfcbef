//! What goes on beside the question for the policy? What goes up, what people want now, what was prepared: none waits for the
//! other.

use crate::cloud::prepare::task::{Preparing, Shelf};
use crate::cloud::requests::task::{Asking, Desk};
use crate::cloud::uplink::task::Uplink;
use headroom_policy::{Addressee, Trust};
use tokio::sync::watch;

/// All of it.
pub struct Beside {
    pub uplink: Uplink,
    pub requests: Option<Desk>,
    pub prepared: Option<Shelf>,
    pub addressee: Addressee,
    /// Whose word counts.
    pub trust: watch::Receiver<Trust>,
}

impl Beside {
    /// For good.
    pub async fn run(self) {
        let Beside { uplink, requests, prepared, addressee, trust } = self;
        let preparing = Preparing {
            route: uplink.route.clone(),
            offers: uplink.offers.clone(),
            addressee: addressee.clone(),
            trust: trust.clone(),
            state: uplink.state.clone(),
            clock: uplink.clock,
        };
        let asking = Asking {
            route: uplink.route.clone(),
            offers: uplink.offers.clone(),
            addressee,
            trust,
            state: uplink.state.clone(),
            events: uplink.events.clone(),
            results: uplink.results.clone(),
            clock: uplink.clock,
        };
        let requests = async {
            if let Some(desk) = requests {
                asking.run(desk).await
            }
        };
        let prepared = async {
            if let Some(shelf) = prepared {
                preparing.run(shelf).await
            }
        };
        tokio::join!(uplink.run(), requests, prepared);
    }
}
