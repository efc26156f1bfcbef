//! Which session do tests take where any will do?

use super::{Change, End, Keys, Record};

/// One that is over, of a known person; the same number gives the same.
pub fn record(number: u64) -> Record {
    let mut keys = Keys::of(42);
    let id = (0..number.max(1)).map(|_| keys.fresh()).last().unwrap();
    Record {
        id,
        evse: "left".into(),
        transaction: number as i64,
        person: Some("usr_a".into()),
        alias: Some("Kari".into()),
        class: "owner".into(),
        token: Some("****E680".into()),
        started_at: Some("2026-11-05T17:00:00Z".parse().unwrap()),
        ended_at: Some("2026-11-05T19:30:00Z".parse().unwrap()),
        span_s: 9_000,
        energy_wh: 14_250,
        meter_start_wh: Some(1_000_000),
        meter_stop_wh: Some(1_014_250),
        is_estimated: false,
        changes: vec![Change { at_s: 0, class: "owner".into(), reason: "full".into() }],
        merged: 0,
        is_offline: false,
        review: Vec::new(),
        end: Some(End::Stopped),
    }
}
