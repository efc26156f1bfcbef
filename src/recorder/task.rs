//! How do the frames get onto the disk? By a thread of their own behind a bounded queue: the step waits for nobody.

use super::ring::Ring;
use super::scribe::{Scribe, Stepped, TooLarge};
use crate::control::State;
use crate::policy::Policy;
use crate::site::Site;
use crate::time::{Duration, Moment};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Frames are handed to the writer this often: what a killed process loses, and no more wake-ups than the step's own.
const HAND_OVER: Duration = Duration::from_secs(1);
/// Or when so many bytes wait.
const MOST_WAITING: usize = 16 * 1024;
/// So many pieces wait for the disk: a minute of a disk that stands still.
const MOST_PIECES: usize = 64;
/// After a gap, a new segment is tried no sooner than this: a snapshot costs as much as some steps.
const RETRY: Duration = Duration::from_secs(10);
/// How long the end of the process waits for the disk.
const FLUSH_MOST: std::time::Duration = std::time::Duration::from_millis(500);

/// Writes down every step. Dropped, it hands over what is left and waits for the disk for half a second at most.
#[derive(Debug)]
pub struct Recorder {
    scribe: Scribe,
    /// Frames of the segment that have not been handed over yet, and since when.
    waiting: Vec<u8>,
    handed: Moment,
    /// No segment before this.
    rests_until: Option<Moment>,
    /// Counts unbroken stretches: pieces of a broken one are worth nothing.
    stretch: u64,
    /// The newest stretch of which something could not be written.
    broken: Arc<AtomicU64>,
    is_too_large_told: bool,
    pieces: Option<SyncSender<Piece>>,
    /// Shared by nobody; the lock lets it live where others are.
    done: Mutex<Receiver<()>>,
}

/// Bytes on their way to the disk.
#[derive(Debug)]
pub(super) struct Piece {
    stretch: u64,
    /// Do they begin a segment?
    pub(super) begins: bool,
    pub(super) bytes: Vec<u8>,
}

impl Recorder {
    /// Begins with the state before the first step. All files in `directory` together have at most `most` bytes; a
    /// directory that cannot be written is told in the log once.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(
        (directory, most): (PathBuf, u64),
        (site, inverters): (&Site, usize),
        (state, policy): (&State, &Arc<Policy>),
        now: Moment,
    ) -> io::Result<Self> {
        let ring = Ring::new(directory.clone(), most);
        let scribe = Scribe::new(site, inverters, ring.segment());
        let mut file = None;
        let write = move |piece: &Piece| {
            if piece.begins {
                file = None;
                file = Some(ring.begin()?);
            }
            file.as_mut().map_or(Ok(()), |file| file.write_all(&piece.bytes))
        };
        let place = directory.display().to_string();
        let mut recorder = Recorder::with(scribe, place, write)?;
        recorder.begin(state, policy, now);
        Ok(recorder)
    }

    /// With somebody else to write.
    pub(super) fn with(
        scribe: Scribe,
        place: String,
        mut write: impl FnMut(&Piece) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (pieces, queue) = sync_channel::<Piece>(MOST_PIECES);
        let (end, done) = sync_channel(0);
        let broken = Arc::new(AtomicU64::new(0));
        let seen = broken.clone();
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            // Held until the thread ends: that is what the end of the process waits for.
            let _end: SyncSender<()> = end;
            let mut is_told = false;
            for piece in queue {
                if piece.stretch <= broken.load(Ordering::Relaxed) {
                    continue;
                }
                if let Err(fault) = write(&piece) {
                    broken.store(piece.stretch, Ordering::Relaxed);
                    if !is_told {
                        tracing::warn!(%fault, "{place}: the flight recorder cannot write; balancing goes on");
                    }
                    is_told = true;
                }
            }
        })?;
        Ok(Recorder {
            scribe,
            waiting: Vec::new(),
            handed: Moment::START,
            rests_until: None,
            stretch: 1,
            broken: seen,
            is_too_large_told: false,
            pieces: Some(pieces),
            done: Mutex::new(done),
        })
    }

    fn begin(&mut self, state: &State, policy: &Arc<Policy>, now: Moment) {
        match self.scribe.begin(state, policy, now, None) {
            Ok(bytes) => {
                self.hand(true, bytes, now);
            }
            Err(fault) => self.too_large(fault, now),
        }
    }

    /// Writes a step down, after its orders have left. Never waits.
    pub fn note(&mut self, step: &Stepped<'_>) {
        if self.stretch <= self.broken.load(Ordering::Relaxed) {
            self.rest(step.now);
        }
        if self.rests_until.is_some_and(|until| step.now < until) {
            return;
        }
        match self.scribe.note(step, &mut self.waiting) {
            Ok(opening) => {
                let is_due = self.waiting.len() >= MOST_WAITING || step.now.since(self.handed) >= HAND_OVER;
                if (is_due || opening.is_some()) && !self.hand_over(step.now) {
                    return;
                }
                if let Some(bytes) = opening {
                    self.hand(true, bytes, step.now);
                }
            }
            Err(fault) => self.too_large(fault, step.now),
        }
    }

    fn hand_over(&mut self, now: Moment) -> bool {
        let bytes = std::mem::take(&mut self.waiting);
        bytes.is_empty() || self.hand(false, bytes, now)
    }

    fn hand(&mut self, begins: bool, bytes: Vec<u8>, now: Moment) -> bool {
        let piece = Piece { stretch: self.stretch, begins, bytes };
        let is_taken = self.pieces.as_ref().is_some_and(|pieces| pieces.try_send(piece).is_ok());
        self.handed = now;
        if !is_taken {
            self.rest(now);
        }
        is_taken
    }

    /// Leaves a gap.
    fn rest(&mut self, now: Moment) {
        self.waiting.clear();
        self.scribe.break_off();
        self.stretch += 1;
        self.rests_until = Some(now + RETRY);
    }

    fn too_large(&mut self, TooLarge(bytes): TooLarge, now: Moment) {
        if !self.is_too_large_told {
            tracing::warn!(bytes, "the flight recorder needs more room for this site: raise recorder.most_mib");
        }
        self.is_too_large_told = true;
        self.rest(now);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.hand_over(self.handed);
        self.pieces = None;
        // The thread lets go of its end when all is written.
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _: Result<(), RecvTimeoutError> = done.recv_timeout(FLUSH_MOST);
    }
}
