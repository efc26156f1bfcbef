//! What does a log line consist of? The event's message, its fields and those of the spans around it, bounded.

use super::Entry;
use super::queue::Queue;
use crate::clock::Clock;
use std::fmt::{Debug, Write};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Bytes of text in one entry at most: a page of a terminal. More is cut and marked, so that a peer that is quoted
/// in an error cannot fill the memory.
pub(super) const ENTRY_MOST: usize = 4096;

/// Fields of one entry at most, those of its spans included: the richest line has about ten.
const FIELDS_MOST: usize = 32;

/// What `tracing-log` adds to records of the `log` crate; target, file and line say the same.
const OF_TRACING_LOG: &str = "log.";

/// Turns events into entries.
#[derive(Debug)]
pub(super) struct Collector {
    queue: Arc<Queue>,
    clock: Clock,
}

impl Collector {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Collector { queue, clock: Clock::start() }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut text = Text::default();
            attributes.record(&mut text);
            span.extensions_mut().insert(text);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(text) = span.extensions_mut().get_mut::<Text>()
        {
            values.record(text);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let of_log = event.normalized_metadata();
        let metadata = of_log.as_ref().unwrap_or_else(|| event.metadata());
        let mut text = Text::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Text>() {
                outer.fields.iter().for_each(|(name, value)| text.set(name, value.clone()));
            }
        }
        event.record(&mut text);
        self.queue.put(Entry {
            level: *metadata.level(),
            at: self.clock.wall(),
            target: metadata.target().to_owned(),
            file: metadata.file().map(str::to_owned),
            line: metadata.line(),
            message: text.message,
            fields: text.fields,
        });
    }
}

/// Message and fields as text.
#[derive(Debug, Default)]
struct Text {
    message: String,
    fields: Vec<(String, String)>,
    length: usize,
}

impl Text {
    /// The innermost value of a name wins.
    fn set(&mut self, name: &str, mut value: String) {
        if name.starts_with(OF_TRACING_LOG) {
            return;
        }
        cut(&mut value, ENTRY_MOST.saturating_sub(self.length));
        self.length += value.len();
        if name == "message" {
            self.message = value;
        } else if let Some((_, old)) = self.fields.iter_mut().find(|(n, _)| n == name) {
            *old = value;
        } else if self.fields.len() < FIELDS_MOST {
            self.fields.push((name.to_owned(), value));
        }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_ok() {
            self.set(field.name(), text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.to_owned());
    }
}

/// Shortens to `most` bytes at a character's border, with a mark.
fn cut(text: &mut String, most: usize) {
    const MARK: &str = "…";
    if text.len() <= most {
        return;
    }
    let mut end = most.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(MARK);
}
