//! How do remembered sessions get to the uploader? Its questions, put to the thread that keeps them.

use crate::cloud::Outbox;
use crate::sessions::{Handle, Key};
use tokio::runtime;

/// Sessions for the cloud. To be asked from a thread that may wait.
pub(super) struct Uploads {
    /// Who keeps them.
    pub sessions: Handle,
    /// Where it is waited for the answers.
    pub runtime: runtime::Handle,
}

impl Outbox for Uploads {
    fn next_batch(&self, most: usize) -> Vec<(String, Vec<u8>)> {
        // At the end of the process nobody answers: then nothing waits.
        let batch = self.runtime.block_on(self.sessions.next_batch(most)).unwrap_or_default();
        batch.into_iter().map(|(key, item)| (key.to_string(), item.bytes.into_owned())).collect()
    }

    fn acked(&self, keys: &[String]) {
        let keys: Vec<Key> = keys.iter().filter_map(|key| key.parse().ok()).collect();
        let _ = self.runtime.block_on(self.sessions.acked(keys));
    }
}
