//! What should the broker hold of us? The newest payload of each topic; what has changed waits to be published.
//!
//! Not a queue: a topic that changes twice while the broker is slow is published once, with its newest payload. Every
//! topic here is retained. The board is as large as the site has topics.

use rumqttc::QoS;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

/// Most topics that may wait to be cleared on somebody else's account (see [`Board::clear`]): far above the alarms of
/// any site, and small enough that a flood of invented topics takes no memory.
const CLEARED_MOST: usize = 256;

/// The newest payload of each topic.
#[derive(Debug, Default)]
pub struct Board {
    posts: BTreeMap<String, Post>,
    waiting: BTreeSet<String>,
    /// The topic published last: the next one after it has its turn, so that no topic starves behind busier ones.
    last: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Post {
    payload: String,
    qos: QoS,
}

impl Board {
    /// Sets a topic's payload; it waits to be published if that is news. Says whether it is.
    pub fn put(&mut self, topic: &str, payload: String, qos: QoS) -> bool {
        let post = Post { payload, qos };
        if self.posts.get(topic) == Some(&post) {
            return false;
        }
        self.posts.insert(topic.to_owned(), post);
        self.waiting.insert(topic.to_owned());
        true
    }

    /// Publishes a topic once more although it has not changed.
    pub fn repeat(&mut self, topic: &str) {
        if self.posts.contains_key(topic) {
            self.waiting.insert(topic.to_owned());
        }
    }

    /// Publishes everything once more: the broker, or a listener, may have forgotten it.
    pub fn repeat_all(&mut self) {
        self.waiting.extend(self.posts.keys().cloned());
    }

    /// Empties a topic at the broker and forgets it. Past the bound on such topics nothing happens: the broker tells of
    /// what is left at the next connection.
    pub fn clear(&mut self, topic: &str) {
        let is_ours = self.posts.remove(topic).is_some();
        if is_ours || self.waiting.len() < self.posts.len() + CLEARED_MOST {
            self.waiting.insert(topic.to_owned());
        }
    }

    /// Is this topic on the board?
    pub fn holds(&self, topic: &str) -> bool {
        self.posts.contains_key(topic)
    }

    /// Hands out what waits, one topic after the other, until `publish` (topic, payload, QoS) says that it took no
    /// more; the rest goes on waiting. Says whether all went.
    pub fn offer(&mut self, mut publish: impl FnMut(&str, &str, QoS) -> bool) -> bool {
        while let Some(topic) = self.next().cloned() {
            let (payload, qos) = match self.posts.get(&topic) {
                Some(post) => (post.payload.as_str(), post.qos),
                None => ("", QoS::AtLeastOnce),
            };
            if !publish(&topic, payload, qos) {
                return false;
            }
            self.waiting.remove(&topic);
            self.last = topic;
        }
        true
    }

    fn next(&self) -> Option<&String> {
        let after = (Excluded(self.last.as_str()), Unbounded);
        self.waiting.range::<str, _>(after).next().or_else(|| self.waiting.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_payload_wins_and_the_same_one_is_no_news() {
        let mut board = Board::default();
        assert!(board.put("a", "1".into(), QoS::AtMostOnce));
        assert!(board.put("a", "2".into(), QoS::AtMostOnce));
        assert_eq!(taken(&mut board, 10), ["a=2"]);
        assert!(!board.put("a", "2".into(), QoS::AtMostOnce));
        assert!(taken(&mut board, 10).is_empty());
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_turn() {
        let mut board = Board::default();
        for topic in ["a", "b", "c"] {
            board.put(topic, "1".into(), QoS::AtMostOnce);
        }
        assert_eq!(taken(&mut board, 2), ["a=1", "b=1"]);
        board.put("a", "2".into(), QoS::AtMostOnce);
        board.put("c", "2".into(), QoS::AtMostOnce);
        assert_eq!(taken(&mut board, 1), ["c=2"]);
        assert_eq!(taken(&mut board, 9), ["a=2"]);
    }

    #[test]
    fn a_topic_that_always_changes_starves_nobody() {
        let mut board = Board::default();
        board.put("z", "1".into(), QoS::AtMostOnce);
        for n in 0..2 {
            board.put("a", n.to_string(), QoS::AtMostOnce);
            board.put("b", n.to_string(), QoS::AtMostOnce);
            taken(&mut board, 1);
        }
        board.put("a", "busy".into(), QoS::AtMostOnce);
        assert_eq!(taken(&mut board, 1), ["z=1"]);
    }

    #[test]
    fn everything_is_told_again_to_a_broker_that_has_forgotten() {
        let mut board = Board::default();
        board.put("a", "1".into(), QoS::AtMostOnce);
        board.put("b", "".into(), QoS::AtMostOnce);
        taken(&mut board, 9);
        board.repeat("b");
        assert_eq!(taken(&mut board, 9), ["b="]);
        board.repeat_all();
        assert_eq!(taken(&mut board, 9), ["a=1", "b="]);
    }

    #[test]
    fn a_cleared_topic_is_emptied_once_and_forgotten() {
        let mut board = Board::default();
        board.put("alarm", "hot".into(), QoS::AtLeastOnce);
        taken(&mut board, 9);
        board.clear("alarm");
        assert_eq!(taken(&mut board, 9), ["alarm="]);
        board.repeat_all();
        assert!(taken(&mut board, 9).is_empty());
    }

    #[test]
    fn a_flood_of_foreign_topics_takes_no_memory() {
        let mut board = Board::default();
        for n in 0..10_000 {
            board.clear(&format!("alarm/{n}"));
        }
        assert_eq!(board.waiting.len(), CLEARED_MOST);
    }

    fn taken(board: &mut Board, most: usize) -> Vec<String> {
        let mut taken = Vec::new();
        board.offer(|topic, payload, _| {
            let fits = taken.len() < most;
            if fits {
                taken.push(format!("{topic}={payload}"));
            }
            fits
        });
        taken
    }
}
