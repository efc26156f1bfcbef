//! Who has the book? All chargers, one frame at a time; whoever saves it is rung when it has changed.

use super::book::Book;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The book, for all chargers.
pub struct Ledger {
    /// As it is now.
    pub book: Mutex<Book>,
    /// Rings when it has changed.
    pub changed: Notify,
    /// Nobody changes it any more.
    pub is_closed: AtomicBool,
}

impl Ledger {
    /// For the length of one frame.
    pub fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last word of it is to be saved.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}
