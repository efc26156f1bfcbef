//! How is a log line written? As a journal entry with fields under systemd, else as a line for people on stderr.

use super::{Entry, complain};
use chrono::{Local, SecondsFormat};
use std::fmt::Write as _;
use std::io::{self, Write};
use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing::Level;

/// Fields of ours begin with this, so that none can pass for one of the journal's own (MESSAGE, PRIORITY, CODE_FILE…).
const PREFIX: &str = "hr_";

/// Where entries are written; may block for as long as it likes.
pub(super) trait Sink: Send {
    /// Writes one entry; an entry that fails is counted as lost.
    fn write(&mut self, entry: &Entry) -> io::Result<()>;
}

/// The journal where stderr leads there and it can be reached, else stderr. A shell inside a desktop session has the
/// journal's variables too: where stderr really leads is the proof (systemd.exec(5), `JOURNAL_STREAM`).
pub(super) fn choose() -> Box<dyn Sink> {
    if !connected_to_journal() {
        return Box::new(People);
    }
    match JournalLog::empty() {
        Ok(journal) => Box::new(Journal(journal.with_syslog_identifier("headroom".to_owned()))),
        Err(fault) => {
            complain(&format!("cannot reach the journal ({fault}); logging goes to stderr without fields"));
            Box::new(People)
        }
    }
}

/// Lines for people on stderr.
struct People;

impl Sink for People {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        io::stderr().write_all(
            line(entry, &entry.at.with_timezone(&Local).to_rfc3339_opts(SecondsFormat::Millis, true)).as_bytes(),
        )
    }
}

/// One line: time, level, who, message, fields. Control characters from a peer cannot fake a second line.
pub(super) fn line(entry: &Entry, at: &str) -> String {
    let target = entry.target.strip_prefix("headroom::").unwrap_or(&entry.target);
    let mut line = format!("{at} {:<5} {target}: {}", entry.level.as_str(), entry.message);
    for (name, value) in &entry.fields {
        let _ = write!(line, " {name}={value}");
    }
    let mut line: String = line.chars().map(|c| if c.is_control() { '␤' } else { c }).collect();
    line.push('\n');
    line
}

/// The systemd journal, by its native protocol.
struct Journal(JournalLog);

impl Sink for Journal {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        with_record(entry, |record| self.0.journal_send(record))
    }
}

/// The entry as a record of the `log` crate, which is what the journal's client takes.
pub(super) fn with_record<T>(entry: &Entry, act: impl FnOnce(&log::Record<'_>) -> T) -> T {
    let fields: Vec<(String, &str)> =
        entry.fields.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.as_str())).collect();
    let fields = fields.as_slice();
    act(&log::Record::builder()
        .args(format_args!("{}", entry.message))
        .level(level(entry.level))
        .target(&entry.target)
        .file(entry.file.as_deref())
        .line(entry.line)
        .key_values(&fields)
        .build())
}

fn level(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    }
}
