//! How do people watch? A page, its live events, a day of history, metrics: all from the one `Status`.
//!
//! `page` holds the files and the headers, `history` the last day in a few kB, `metrics` the same numbers for
//! Prometheus, `task` the sockets. Nothing here changes anything: every route is a GET.

mod history;
mod metrics;
mod page;
mod task;

pub use task::{CONNECTIONS_MOST, STREAMS_MOST, serve};
