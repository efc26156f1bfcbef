//! Is everything logged, with its fields, and does nobody ever wait for it?

use super::queue::ENTRIES_MOST;
use super::sink::{Sink, line, with_record};
use super::*;
use chrono::{DateTime, Utc};
use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tracing::{debug, error, info, info_span, trace};

type Written = Arc<Mutex<Vec<Entry>>>;

/// Writes to memory, one entry for each leave that it is given.
struct Slow {
    leave: Option<Receiver<io::Result<()>>>,
    written: Written,
}

impl Sink for Slow {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if let Some(leave) = &self.leave {
            // Without a giver it never blocks again.
            leave.recv().unwrap_or(Ok(()))?;
        }
        self.written.lock().unwrap().push(entry.clone());
        Ok(())
    }
}

/// Logs to memory without ever blocking.
fn logged(level: Option<&str>, act: impl FnOnce()) -> Vec<Entry> {
    let written = Arc::new(Mutex::new(vec![]));
    let queue = Arc::new(Queue::default());
    writer(queue.clone(), Box::new(Slow { leave: None, written: written.clone() })).unwrap();
    tracing::subscriber::with_default(subscriber(queue.clone(), targets(level).0), act);
    drop(Logging { queue });
    written.lock().unwrap().clone()
}

/// A queue whose writer stands still until it is given leave.
fn standing_still() -> (Arc<Queue>, SyncSender<io::Result<()>>, Written) {
    let (giver, leave) = sync_channel(ENTRIES_MOST);
    let written = Arc::new(Mutex::new(vec![]));
    let queue = Arc::new(Queue::default());
    writer(queue.clone(), Box::new(Slow { leave: Some(leave), written: written.clone() })).unwrap();
    (queue, giver, written)
}

fn entry(message: &str) -> Entry {
    Entry {
        level: Level::INFO,
        at: DateTime::<Utc>::UNIX_EPOCH,
        target: "headroom::ocpp".to_owned(),
        file: None,
        line: None,
        message: message.to_owned(),
        fields: vec![("evse".to_owned(), "left".to_owned())],
    }
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn an_event_keeps_its_fields_and_those_of_the_spans_around_it() {
    let lines = logged(None, || {
        let outer = info_span!("charger", evse = "left", epoch = 1);
        let _outer = outer.enter();
        let _inner = info_span!("call", id = "a7", epoch = 2).entered();
        info!(target: "headroom::ocpp", amps = 16.5, id = "b8", "setpoint sent");
    });
    let field = |name: &str| lines[0].fields.iter().filter(|f| f.0 == name).map(|f| f.1.as_str()).collect::<Vec<_>>();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].message, "setpoint sent");
    assert_eq!(field("evse"), ["left"]);
    assert_eq!(field("epoch"), ["2"], "the inner span wins");
    assert_eq!(field("id"), ["b8"], "the event wins");
    assert_eq!(field("amps"), ["16.5"]);
}

#[test]
fn a_span_tells_what_it_learnt_later() {
    let lines = logged(None, || {
        let span = info_span!("connection", identity = tracing::field::Empty);
        span.record("identity", "HOME-1");
        span.in_scope(|| info!("connected"));
    });
    assert_eq!(lines[0].fields, [("identity".to_owned(), "HOME-1".to_owned())]);
}

#[test]
fn info_is_the_usual_level_and_libraries_speak_from_warn() {
    let speak = || {
        error!("e");
        info!("i");
        debug!("d");
        info!(target: "rumqttc", "library i");
        warn!(target: "rumqttc", "library w");
    };
    let messages = |level| logged(level, speak).into_iter().map(|e| e.message).collect::<Vec<_>>();
    assert_eq!(messages(None), ["e", "i", "library w"]);
    assert_eq!(messages(Some("DEBUG")), ["e", "i", "d", "library w"]);
    assert_eq!(messages(Some("off,rumqttc=info")), ["library i", "library w"]);
}

#[test]
fn a_level_that_is_not_understood_is_told_and_the_usual_one_holds() {
    let (targets, fault) = targets(Some("loud"));
    assert!(fault.unwrap().contains("`loud`"));
    assert!(targets.would_enable("headroom::control", &Level::INFO));
    assert!(!targets.would_enable("headroom::control", &Level::DEBUG));
}

#[test]
fn records_of_the_log_crate_arrive_under_their_own_name() {
    let lines = logged(None, || {
        let record = log::Record::builder()
            .args(format_args!("broker gone"))
            .level(log::Level::Warn)
            .target("rumqttc::state")
            .file(Some("state.rs"))
            .line(Some(7))
            .build();
        log::Log::log(&tracing_log::LogTracer::new(), &record);
    });
    assert_eq!(
        (lines[0].target.as_str(), lines[0].file.as_deref(), lines[0].line),
        ("rumqttc::state", Some("state.rs"), Some(7))
    );
    assert!(lines[0].fields.is_empty(), "{:?}", lines[0].fields);
}

#[test]
fn a_journal_that_stands_still_costs_lines_but_never_time() {
    let (queue, giver, written) = standing_still();
    tracing::subscriber::with_default(subscriber(queue.clone(), targets(Some("trace")).0), || {
        // One is in the writer's hands or still queued, so between 99 and 100 are lost.
        for number in 0..ENTRIES_MOST + 100 {
            trace!(number, "tick");
        }
    });
    assert!(written.lock().unwrap().is_empty(), "all of them were logged while the writer stood still");
    drop(giver);
    queue.flush(LONG);
    let written = written.lock().unwrap();
    let told = written.last().unwrap();
    let lost: usize = told.fields[0].1.parse().unwrap();
    assert_eq!(told.level, Level::WARN);
    assert!(told.message.starts_with(&format!("{lost} log lines were lost")), "{}", told.message);
    assert_eq!(written.len() - 1 + lost, ENTRIES_MOST + 100, "each line is written or counted");
    assert!(lost == 99 || lost == 100);
}

#[test]
fn lines_that_fail_are_told_as_lost_when_writing_works_again() {
    let (queue, giver, written) = standing_still();
    for outcome in [Err(io::ErrorKind::ConnectionRefused.into()), Err(io::ErrorKind::NotFound.into())] {
        giver.send(outcome).unwrap();
        queue.put(entry("lost"));
    }
    queue.flush(LONG);
    assert!(written.lock().unwrap().is_empty());
    drop(giver);
    queue.put(entry("back"));
    queue.flush(LONG);
    let written = written.lock().unwrap();
    assert_eq!(written[0].message, "back");
    assert_eq!(written[1].fields, [("lost".to_owned(), "2".to_owned())]);
    assert_eq!(written.len(), 2);
}

#[test]
fn the_end_does_not_wait_for_a_journal_that_stands_still() {
    let (queue, giver, written) = standing_still();
    queue.put(entry("never written"));
    drop(Logging { queue });
    assert!(written.lock().unwrap().is_empty());
    drop(giver);
}

#[test]
fn a_long_quote_from_a_peer_is_cut() {
    let quote = "ä".repeat(50_000);
    let lines = logged(None, || warn!(quote, more = quote, "bad frame"));
    let length: usize = lines[0].fields.iter().map(|f| f.1.len()).sum();
    assert!(length <= layer::ENTRY_MOST + "…".len() * 2, "{length}");
    assert!(lines[0].fields[0].1.ends_with('…'));
    assert_eq!(lines[0].message, "bad frame");
}

#[test]
fn people_read_one_line_and_a_peer_cannot_fake_a_second() {
    let mut entry = entry("frame refused");
    entry.fields.push(("quote".to_owned(), "x\n2026 ERROR control: fake".to_owned()));
    assert_eq!(
        line(&entry, "2026-11-21T21:44:25.123+01:00"),
        "2026-11-21T21:44:25.123+01:00 INFO  ocpp: frame refused evse=left quote=x␤2026 ERROR control: fake\n"
    );
}

#[test]
fn a_field_never_passes_for_one_of_the_journals_own() {
    let mut entry = entry("hello");
    entry.fields = vec![("message".to_owned(), "forged".to_owned()), ("priority".to_owned(), "0".to_owned())];
    let names = with_record(&entry, |record| {
        struct Names(Vec<String>);
        impl<'v> log::kv::VisitSource<'v> for Names {
            fn visit_pair(&mut self, key: log::kv::Key<'v>, _: log::kv::Value<'v>) -> Result<(), log::kv::Error> {
                self.0.push(key.to_string());
                Ok(())
            }
        }
        let mut names = Names(vec![]);
        record.key_values().visit(&mut names).unwrap();
        names.0
    });
    assert_eq!(names, ["hr_message", "hr_priority"]);
}
