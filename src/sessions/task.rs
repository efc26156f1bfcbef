//! Who writes sessions down? A thread of its own: the step leaves word and goes on, and whoever asks for a batch waits for it.

use super::disk::{Disk, Files};
use super::group::Item;
use super::journal::{Bounds, Journal};
use super::pending::Pending;
use super::{Key, Keys, Record, Told, Tracker};
use crate::clock::Clock;
use crate::time::{Duration, Moment};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

/// A disk that has refused is tried again after this.
const RETRY: Duration = Duration::from_secs(10);

/// Questions that wait for an answer, at most: there is one uploader, and it asks one thing at a time.
const MOST_QUESTIONS: usize = 8;

/// How long the end of the process waits for the disk.
const FLUSH_MOST: Duration = Duration::from_millis(500);

/// Items and their keys, as they go to the cloud: each key is its item's idempotency key.
pub type Batch = Vec<(Key, Item<'static>)>;

/// Nobody answers any more: the process ends, or too many ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// How it stands with what is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// So many wait for the cloud.
    pub waiting: usize,
    /// So many are in memory only: the disk has not taken them.
    pub unsaved: usize,
    /// So many the cloud will never get: there was no room for them.
    pub lost: u64,
}

/// The sessions of all EVSEs. Dropped, it hands over what is left and waits for the disk for half a second at most.
#[derive(Debug)]
pub struct Sessions {
    tracker: Tracker,
    desk: Arc<Desk>,
    counts: watch::Receiver<Counts>,
    is_resumed: bool,
    /// Shared by nobody; the lock lets it live where others are.
    done: Mutex<Receiver<()>>,
}

/// For the uploader.
#[derive(Debug, Clone)]
pub struct Handle {
    desk: Arc<Desk>,
    counts: watch::Receiver<Counts>,
}

/// Where the step, the uploader and the writer meet. Nobody holds its lock while he waits for anything.
#[derive(Debug)]
struct Desk {
    papers: Mutex<Papers>,
    bell: Condvar,
}

#[derive(Debug)]
struct Papers {
    pending: Pending,
    numbers: u64,
    lost: u64,
    questions: VecDeque<Question>,
    /// What ran before, once it is known, until the tracker has taken it.
    before: Option<Vec<Record>>,
    is_over: bool,
}

#[derive(Debug)]
enum Question {
    NextBatch(usize, oneshot::Sender<Batch>),
    Acked(Vec<Key>, oneshot::Sender<bool>),
}

impl Sessions {
    /// Begins to remember, in segments in this folder; `None`, or one that cannot be used: in memory, which is told.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(folder: Option<PathBuf>, evses: usize, clock: Clock) -> io::Result<Self> {
        let open = move || {
            let place = folder.as_ref().map_or_else(|| "no folder".into(), |folder| folder.display().to_string());
            let disk = folder.map(Files::open).transpose();
            let opened = disk.and_then(|disk| disk.map(|disk| Journal::open(disk, Bounds::default())).transpose());
            match opened {
                Ok(Some((journal, opened))) => {
                    if opened.strange > 0 {
                        tracing::info!(blocks = opened.strange, "{place}: parts cannot be read, as after a power cut");
                    }
                    (journal, opened.open)
                }
                Ok(None) | Err(_) => {
                    tracing::warn!("{place}: sessions are kept in memory only, and end with the process");
                    (Journal::in_memory(Bounds::default()), Vec::new())
                }
            }
        };
        Sessions::with(open, evses, clock)
    }

    /// With another journal.
    pub(super) fn with<D: Disk + 'static>(
        open: impl FnOnce() -> (Journal<D>, Vec<Record>) + Send + 'static,
        evses: usize,
        clock: Clock,
    ) -> io::Result<Self> {
        let papers = Papers {
            pending: Pending::default(),
            numbers: 0,
            lost: 0,
            questions: VecDeque::new(),
            before: None,
            is_over: false,
        };
        let desk = Arc::new(Desk { papers: Mutex::new(papers), bell: Condvar::new() });
        let (told, counts) = watch::channel(Counts::default());
        let (end, done) = sync_channel(0);
        let writers = desk.clone();
        std::thread::Builder::new().name("sessions".to_owned()).spawn(move || {
            // Held until the thread ends: that is what the end of the process waits for.
            let _end: SyncSender<()> = end;
            let (journal, before) = open();
            writers.papers().before = Some(before);
            Writer { journal, desk: writers, told, tries_from: None, clock }.run();
        })?;
        // Drawn by the operating system; std has no other way to it.
        let tracker = Tracker::new(Keys::of(RandomState::new().hash_one("sessions")), evses);
        Ok(Sessions { tracker, desk, counts, is_resumed: false, done: Mutex::new(done) })
    }

    /// After each step. Never waits.
    pub fn step(&mut self, told: &Told<'_>) {
        if !self.is_resumed
            && let Some(before) = self.desk.papers().before.take()
        {
            self.tracker.resume(before);
            self.is_resumed = true;
        }
        for record in self.tracker.step(told, self.is_resumed) {
            self.desk.leave(&record);
        }
    }

    /// For the uploader.
    pub fn handle(&self) -> Handle {
        Handle { desk: self.desk.clone(), counts: self.counts.clone() }
    }

    /// How it stands, for people.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        if self.is_resumed {
            self.tracker.last_words().iter().for_each(|record| self.desk.leave(record));
        }
        self.desk.papers().is_over = true;
        self.desk.bell.notify_all();
        // The thread lets go of its end when all is written.
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _: Result<(), RecvTimeoutError> = done.recv_timeout(FLUSH_MOST);
    }
}

impl Handle {
    /// The oldest that wait for the cloud, at most so many, and about a quarter of a MiB. The same ones again until they are
    /// acked.
    ///
    /// # Errors
    /// The process ends.
    pub async fn next_batch(&self, most: usize) -> Result<Batch, Gone> {
        let (answer, answered) = oneshot::channel();
        self.desk.ask(Question::NextBatch(most, answer))?;
        answered.await.map_err(|_| Gone)
    }

    /// The cloud has these: they are not given out again. True once that is durable; where it is not (the disk refuses),
    /// they come again after a restart, under the same keys.
    ///
    /// # Errors
    /// The process ends.
    pub async fn acked(&self, keys: Vec<Key>) -> Result<bool, Gone> {
        let (answer, answered) = oneshot::channel();
        self.desk.ask(Question::Acked(keys, answer))?;
        answered.await.map_err(|_| Gone)
    }

    /// Changes whenever something new waits.
    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, record: &Record) {
        // A record has nothing that JSON could not say.
        let Ok(bytes) = serde_json::to_vec(record) else { return };
        let item = Item { number: 0, is_open: record.end.is_none(), bytes: bytes.into() };
        self.papers().put(record.id, item);
        self.bell.notify_all();
    }

    fn ask(&self, question: Question) -> Result<(), Gone> {
        let mut papers = self.papers();
        if papers.is_over || papers.questions.len() >= MOST_QUESTIONS {
            return Err(Gone);
        }
        papers.questions.push_back(question);
        drop(papers);
        self.bell.notify_all();
        Ok(())
    }
}

impl Papers {
    fn put(&mut self, key: Key, mut item: Item<'static>) {
        self.numbers += 1;
        item.number = self.numbers;
        self.lost += self.pending.put(key, item);
    }
}

/// The thread that writes.
struct Writer<D> {
    journal: Journal<D>,
    desk: Arc<Desk>,
    told: watch::Sender<Counts>,
    /// The disk has refused: no sooner than then.
    tries_from: Option<Moment>,
    clock: Clock,
}

impl<D: Disk> Writer<D> {
    fn run(mut self) {
        self.tell(0);
        loop {
            let (items, questions, lost, is_over) = self.wait();
            items.into_iter().for_each(|(key, item)| self.journal.put(key, item));
            let mut answers = Vec::new();
            for question in questions {
                match question {
                    Question::NextBatch(most, answer) => answers.push((answer, most)),
                    Question::Acked(keys, answer) => {
                        self.journal.acked(&keys);
                        self.save(is_over);
                        let _ = answer.send(self.journal.are_acks_durable());
                    }
                }
            }
            self.save(is_over);
            for (answer, most) in answers {
                let _ = answer.send(self.journal.next_batch(most));
            }
            self.tell(lost);
            if is_over {
                return;
            }
        }
    }

    /// Waits for work, or for the time to try again.
    fn wait(&self) -> (Batch, VecDeque<Question>, u64, bool) {
        let mut papers = self.desk.papers();
        loop {
            let rest = self.tries_from.map(|from| from.since(self.clock.now()));
            let has_work = papers.pending.len() > 0 || !papers.questions.is_empty() || papers.is_over;
            if has_work || rest.is_some_and(|rest| rest.is_zero()) {
                let questions = std::mem::take(&mut papers.questions);
                return (papers.pending.take(), questions, papers.lost, papers.is_over);
            }
            papers = match rest {
                Some(rest) => self.desk.bell.wait_timeout(papers, rest).unwrap_or_else(PoisonError::into_inner).0,
                None => self.desk.bell.wait(papers).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn save(&mut self, is_over: bool) {
        if !is_over && self.tries_from.is_some_and(|from| self.clock.now() < from) {
            return;
        }
        match self.journal.commit() {
            Ok(()) => {
                if self.tries_from.take().is_some() {
                    tracing::info!("sessions are written down again");
                }
            }
            Err(fault) => {
                if self.tries_from.is_none() {
                    tracing::warn!(%fault, "sessions cannot be written down: kept in memory; balancing goes on");
                }
                self.tries_from = Some(self.clock.now() + RETRY);
            }
        }
    }

    fn tell(&self, lost: u64) {
        let counts = Counts {
            waiting: self.journal.waiting(),
            unsaved: self.journal.unsaved(),
            lost: self.journal.lost().saturating_add(lost),
        };
        self.told.send_if_modified(|told| {
            if counts.lost > told.lost {
                tracing::warn!(lost = counts.lost, "no room for more sessions that wait for the cloud");
            }
            std::mem::replace(told, counts) != counts
        });
    }
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
