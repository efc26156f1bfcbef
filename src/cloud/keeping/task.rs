//! How does it get onto the disk without anybody waiting for that? In a thread that may wait; what comes meanwhile
//! replaces what waits.

use super::Budget;
use crate::clock::Clock;
use crate::cloud::pace::Pace;
use crate::time::{Duration, Moment};
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Puts the bytes on disk for good, in place of the ones before. It may wait for the disk.
pub type Save = Arc<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// What is to be kept, each time with a note for whoever hears what became of it.
pub struct Keeping<N> {
    save: Save,
    budget: Budget,
    pace: Pace,
    /// After a failure it is not tried before.
    not_before: Moment,
    waiting: Option<(Arc<[u8]>, N)>,
    writing: Option<Writing<N>>,
}

struct Writing<N> {
    task: JoinHandle<io::Result<()>>,
    bytes: Arc<[u8]>,
    note: N,
}

impl<N: Clone> Keeping<N> {
    /// Nothing waits yet; `name` spreads what is tried again.
    pub fn new(save: Save, name: &str) -> Self {
        let (budget, pace) = (Budget::default(), Pace::new(name));
        Keeping { save, budget, pace, not_before: Moment::START, waiting: None, writing: None }
    }

    /// To be kept, instead of what still waits.
    pub fn put(&mut self, bytes: Vec<u8>, note: N) {
        self.waiting = Some((bytes.into(), note));
    }

    /// What became of the next write: it is tried again after a failure, unless something newer waits. Pending while
    /// nothing waits. To be dropped at any time: a write that has begun goes on.
    pub async fn next(&mut self, clock: &Clock) -> (N, io::Result<()>) {
        if self.writing.is_none() {
            self.begin(clock).await;
        }
        let Some(Writing { task, bytes, note }) = self.writing.as_mut() else { return std::future::pending().await };
        let outcome = task.await.unwrap_or_else(|error| Err(error.into()));
        let (bytes, note) = (bytes.clone(), note.clone());
        self.writing = None;
        match &outcome {
            Ok(()) => drop(self.pace.after_answer(Duration::ZERO)),
            Err(_) => {
                self.not_before = clock.now() + self.pace.after_failure();
                self.waiting.get_or_insert((bytes, note.clone()));
            }
        }
        (note, outcome)
    }

    /// Begins to write what waits, when that may be.
    async fn begin(&mut self, clock: &Clock) {
        if self.waiting.is_none() {
            return;
        }
        loop {
            let now = clock.now();
            let rest = self.budget.rest(now).max(self.not_before.since(now));
            if rest.is_zero() {
                break;
            }
            tokio::time::sleep(rest).await;
        }
        self.budget.spend(clock.now());
        self.write();
    }

    fn write(&mut self) {
        let Some((bytes, note)) = self.waiting.take() else { return };
        let (save, content) = (self.save.clone(), bytes.clone());
        self.writing = Some(Writing { task: tokio::task::spawn_blocking(move || save(&content)), bytes, note });
    }

    /// At an orderly stop: what waits is written, whatever the budget says.
    ///
    /// # Errors
    /// What the disk says; it is not tried again.
    pub async fn close(&mut self, clock: &Clock) -> io::Result<()> {
        let mut outcome = Ok(());
        if self.writing.is_some() {
            outcome = self.next(clock).await.1;
        }
        if self.waiting.is_some() {
            self.write();
            outcome = self.next(clock).await.1;
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Keeps what it is given, once the failures are used up.
    fn disk(mut failures: usize) -> (Save, Arc<Mutex<Vec<Vec<u8>>>>) {
        let kept = Arc::new(Mutex::new(vec![]));
        let disk = Mutex::new(move |bytes: &[u8], kept: &Mutex<Vec<Vec<u8>>>| {
            if failures > 0 {
                failures -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            kept.lock().unwrap().push(bytes.to_vec());
            Ok(())
        });
        let written = kept.clone();
        (Arc::new(move |bytes: &[u8]| disk.lock().unwrap()(bytes, &written)), kept)
    }

    #[tokio::test]
    async fn of_what_waits_the_newest_is_written_and_told() {
        let (save, kept) = disk(0);
        let (mut keeping, clock) = (Keeping::new(save, "gw"), Clock::start());
        keeping.put(b"one".to_vec(), 1);
        keeping.put(b"two".to_vec(), 2);
        let (note, outcome) = keeping.next(&clock).await;
        assert!(note == 2 && outcome.is_ok());
        assert_eq!(*kept.lock().unwrap(), [b"two"]);
        let more = tokio::time::timeout(Duration::from_millis(30), keeping.next(&clock)).await;
        assert!(more.is_err(), "nothing waits");
    }

    #[tokio::test]
    async fn once_the_budget_is_used_up_it_waits_and_a_stop_does_not() {
        let (save, kept) = disk(0);
        let (mut keeping, clock) = (Keeping::new(save, "gw"), Clock::start());
        for count in 0..10u8 {
            keeping.put(vec![count], count);
            assert_eq!(keeping.next(&clock).await.0, count);
        }
        for count in 10..13 {
            keeping.put(vec![count], count);
            assert!(tokio::time::timeout(Duration::from_millis(5), keeping.next(&clock)).await.is_err());
        }
        assert_eq!(kept.lock().unwrap().len(), 10);
        keeping.close(&clock).await.unwrap();
        assert_eq!(kept.lock().unwrap()[10..], [[12]]);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_tried_again_with_the_same_or_what_is_newer() {
        let (save, kept) = disk(2);
        let (mut keeping, clock) = (Keeping::new(save, "gw"), Clock::start());
        keeping.put(b"one".to_vec(), 1);
        let (note, outcome) = keeping.next(&clock).await;
        assert!(note == 1 && outcome.is_err());
        keeping.put(b"two".to_vec(), 2);
        let (note, outcome) = keeping.next(&clock).await;
        assert!(note == 2 && outcome.is_err());
        let (note, outcome) = keeping.next(&clock).await;
        assert!(note == 2 && outcome.is_ok());
        assert_eq!(*kept.lock().unwrap(), [b"two"]);
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_any_more_is_not_lost() {
        let (save, kept) = disk(0);
        let (go, gone) = std::sync::mpsc::sync_channel(2);
        let gone = Mutex::new(gone);
        let slow: Save = Arc::new(move |bytes| {
            gone.lock().unwrap().recv().unwrap();
            save(bytes)
        });
        let (mut keeping, clock) = (Keeping::new(slow, "gw"), Clock::start());
        keeping.put(b"one".to_vec(), 1);
        assert!(tokio::time::timeout(Duration::from_millis(5), keeping.next(&clock)).await.is_err());
        keeping.put(b"two".to_vec(), 2);
        (0..2).for_each(|_| go.send(()).unwrap());
        assert_eq!(keeping.next(&clock).await.0, 1);
        assert_eq!(keeping.next(&clock).await.0, 2);
        assert_eq!(*kept.lock().unwrap(), [b"one", b"two"]);
    }
}
