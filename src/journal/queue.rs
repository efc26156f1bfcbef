//! What if the log is slower than what is logged? A bounded queue: newest lines are dropped and counted, nobody waits.

use super::Entry;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Level;

/// How many entries wait at most: a minute of a busy log, and with [`super::layer::ENTRY_MOST`] some 2 MB at the worst.
pub(super) const ENTRIES_MOST: usize = 512;

/// Entries on their way to the writing thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Entry>,
    is_writing: bool,
    lost: u64,
}

impl Queue {
    /// Leaves an entry, or counts it as lost where there is no room. Never waits for the writer.
    pub(super) fn put(&self, entry: Entry) {
        let mut state = self.lock();
        if state.waiting.len() < ENTRIES_MOST {
            state.waiting.push_back(entry);
            self.changed.notify_all();
        } else {
            state.lost = state.lost.saturating_add(1);
        }
    }

    /// For the writer: waits for the oldest entry.
    pub(super) fn next(&self) -> Entry {
        let mut state = self.lock();
        loop {
            if let Some(entry) = state.waiting.pop_front() {
                state.is_writing = true;
                return entry;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For the writer: the entry is written, or could not be. Returns how many were lost, once: when all that waited is
    /// written and the log so flows again. Then [`Queue::gap_done`] follows.
    pub(super) fn done(&self, was_written: bool) -> Option<u64> {
        let mut state = self.lock();
        if !was_written {
            state.lost = state.lost.saturating_add(1);
        } else if state.lost > 0 && state.waiting.is_empty() {
            return Some(std::mem::take(&mut state.lost));
        }
        state.is_writing = false;
        self.changed.notify_all();
        None
    }

    /// For the writer: the gap is told, or `lost` is to be told another time.
    pub(super) fn gap_done(&self, lost: u64, was_written: bool) {
        let mut state = self.lock();
        if !was_written {
            state.lost = state.lost.saturating_add(lost);
        }
        state.is_writing = false;
        self.changed.notify_all();
    }

    /// Waits until all is written, but no longer than `most`.
    pub(super) fn flush(&self, most: Duration) {
        let state = self.lock();
        let _ = self.changed.wait_timeout_while(state, most, |s| s.is_writing || !s.waiting.is_empty());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line that tells a gap; `last` is the entry before it.
pub(super) fn gap(lost: u64, last: &Entry) -> Entry {
    Entry {
        level: Level::WARN,
        at: last.at,
        target: module_path!().to_owned(),
        file: None,
        line: None,
        message: format!("{lost} log lines were lost while the log stood still; they are not coming"),
        fields: vec![("lost".to_owned(), lost.to_string())],
    }
}
