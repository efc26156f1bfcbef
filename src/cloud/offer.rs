//! What does this cloud offer beyond the document? Said by itself in two headers of its answers; a plain file server
//! says nothing, and is asked for nothing more.

use crate::time::Duration;
use reqwest::header::HeaderMap;

/// The longest that a question is left waiting at the cloud: below the 60 s after which proxies commonly cut a silent
/// connection (nginx `proxy_read_timeout`).
const LONGEST_HOLD: Duration = Duration::from_secs(50);

/// What the cloud's last answer offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// It holds a question back for so long until something changes; whole seconds, 1 to 50.
    pub hold: Option<Duration>,
    /// It says at `…/hints` when there is something new.
    pub hints: bool,
    /// It wants to know at `…/policy/ack` what became of a document.
    pub acks: bool,
    /// It takes events at `…/events`.
    pub events: bool,
    /// It takes sessions at `…/sessions`.
    pub sessions: bool,
    /// It has at `…/requests` what people want now.
    pub requests: bool,
    /// It has at `…/preconfiguration` what was prepared for the site, if anything was.
    pub preconfiguration: bool,
}

impl Offers {
    /// `Headroom-Wait: <seconds>` and `Headroom-Offers: hints, ack, events, sessions, requests, preconfiguration`; words that are not known
    /// are ignored.
    pub fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let hold = text("headroom-wait").trim().parse().ok().filter(|seconds| *seconds > 0);
        let has = |word: &str| text("headroom-offers").split(',').any(|offer| offer.trim() == word);
        Offers {
            hold: hold.map(|seconds| Duration::from_secs(seconds).min(LONGEST_HOLD)),
            hints: has("hints"),
            acks: has("ack"),
            events: has("events"),
            sessions: has("sessions"),
            requests: has("requests"),
            preconfiguration: has("preconfiguration"),
        }
    }

    /// How long a question may be held: no longer than two refreshes, as the policy is stale after five without an answer.
    pub fn hold(&self, refresh: Duration) -> Option<Duration> {
        let hold = self.hold?.as_secs().min(refresh.saturating_mul(2).as_secs());
        (hold > 0).then(|| Duration::from_secs(hold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn offers(headers: &[(&'static str, &'static str)]) -> Offers {
        Offers::read(
            &headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect(),
        )
    }

    #[test]
    fn who_says_nothing_is_asked_for_nothing() {
        assert_eq!(offers(&[]), Offers::default());
        assert_eq!(offers(&[("headroom-wait", "soon"), ("headroom-offers", "tea, acks")]), Offers::default());
        assert_eq!(offers(&[("headroom-wait", "0")]).hold, None);
        assert_eq!(offers(&[("headroom-wait", "-1")]).hold, None);
    }

    #[test]
    fn offers_are_known_by_their_words() {
        let all = offers(&[
            ("headroom-wait", "20"),
            ("headroom-offers", "hints,ack , events, tea,sessions, requests,preconfiguration"),
        ]);
        let hold = Some(Duration::from_secs(20));
        assert_eq!(
            all,
            Offers {
                hold,
                hints: true,
                acks: true,
                events: true,
                sessions: true,
                requests: true,
                preconfiguration: true
            }
        );
    }

    #[test]
    fn no_question_is_held_longer_than_proxies_and_freshness_allow() {
        let offers = offers(&[("headroom-wait", "86400")]);
        assert_eq!(offers.hold(Duration::from_secs(60)), Some(Duration::from_secs(50)));
        assert_eq!(offers.hold(Duration::from_secs(10)), Some(Duration::from_secs(20)));
        assert_eq!(offers.hold(Duration::from_millis(100)), None);
    }
}
