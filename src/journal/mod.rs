//! Where do log lines go? To the systemd journal with their fields, or to stderr for people; never in the daemon's way.
//!
//! Whoever logs leaves an [`Entry`] in a bounded [`queue`] and goes on; a thread of its own writes them. A journal that
//! stands still blocks that thread alone: what does not fit the queue is dropped, counted and told once it flows again.

mod layer;
mod queue;
mod sink;

use layer::Collector;
use queue::Queue;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Level, Subscriber, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// The name of the variable that says what is logged: a level for headroom itself (`debug`), or a list of
/// targets and levels (`info,headroom::ocpp=trace`).
pub const VARIABLE: &str = "HEADROOM_LOG";

/// What is logged where nobody says otherwise: headroom from INFO, libraries from WARN.
const USUAL: &str = "warn,headroom=info";

/// How long the end of the process waits for lines that are still to be written: far below the 5 s of an orderly
/// stop, and enough for a journal that is merely busy.
const FLUSH_MOST: Duration = Duration::from_millis(500);

/// One event with its fields, cut loose from the thread that logged it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    level: Level,
    /// Wall time of the event.
    at: chrono::DateTime<chrono::Utc>,
    /// Such as `headroom::ocpp::task`, or the library.
    target: String,
    file: Option<String>,
    line: Option<u32>,
    message: String,
    /// Fields of the spans around it from the outermost in, then its own; each name once.
    fields: Vec<(String, String)>,
}

/// Keeps the log going; when it is dropped, what waits is written first (for half a second at most).
#[derive(Debug)]
pub struct Logging {
    queue: Arc<Queue>,
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.queue.flush(FLUSH_MOST);
    }
}

/// Starts logging for the whole process; call it once, first of all.
///
/// `level` is what the command line says, in the form of [`VARIABLE`]; without it the variable holds, then
/// INFO. A wrong one is told and the usual one holds.
pub fn start(level: Option<&str>) -> Logging {
    let asked = level.map(str::to_owned).or_else(|| std::env::var(VARIABLE).ok());
    let (targets, fault) = targets(asked.as_deref());
    let queue = Arc::new(Queue::default());
    let logging = Logging { queue: queue.clone() };
    if let Err(fault) = writer(queue.clone(), sink::choose()) {
        complain(&format!("cannot start the thread that writes the log: {fault}; nothing is logged"));
        return logging;
    }
    if tracing::subscriber::set_global_default(subscriber(queue.clone(), targets)).is_err() {
        complain("logging was started twice; the first one holds");
        return logging;
    }
    if tracing_log::LogTracer::init().is_err() {
        warn!("the log of libraries is taken by another logger; it does not appear here");
    }
    if let Some(fault) = fault {
        warn!("{fault}");
    }
    flush_before_a_panic_ends_the_process(queue);
    logging
}

/// Everything between an event and the queue.
fn subscriber(queue: Arc<Queue>, targets: Targets) -> impl Subscriber {
    tracing_subscriber::registry().with(Collector::new(queue)).with(targets)
}

/// The filter asked for, and what was wrong with it.
fn targets(asked: Option<&str>) -> (Targets, Option<String>) {
    let usual = || USUAL.parse().unwrap_or_default();
    let Some(asked) = asked.map(str::trim).filter(|text| !text.is_empty()) else {
        return (usual(), None);
    };
    let directives =
        if asked.contains([',', '=']) { asked.to_owned() } else { format!("warn,headroom={}", asked.to_lowercase()) };
    match directives.parse() {
        Ok(targets) => (targets, None),
        Err(fault) => {
            let told = format!(
                "log level `{asked}` is not understood ({fault}); `{USUAL}` holds. \
                 Say off, error, warn, info, debug or trace, or a list such as info,headroom::ocpp=trace"
            );
            (usual(), Some(told))
        }
    }
}

/// Writes what the queue holds for as long as the process lives.
fn writer(queue: Arc<Queue>, mut sink: Box<dyn sink::Sink>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            loop {
                let entry = queue.next();
                if let Some(lost) = queue.done(sink.write(&entry).is_ok()) {
                    queue.gap_done(lost, sink.write(&queue::gap(lost, &entry)).is_ok());
                }
            }
        })
        .map(drop)
}

/// A panic aborts the process: what was logged before it must not be lost with it.
fn flush_before_a_panic_ends_the_process(queue: Arc<Queue>) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        queue.flush(FLUSH_MOST);
        usual(panic);
    }));
}

/// The last resort: a line on stderr, which may be closed.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "headroom: {text}");
}

#[cfg(test)]
mod tests;
