//! What did a real house take, and its sun give? Traces from CSV files, held between their lines and repeated.

use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};

/// Lines that a trace may have: two months of seconds. A longer file is refused, not cut.
pub const LINES_MOST: usize = 5_400_000;

/// Values over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<T> {
    /// In the order of time.
    points: Vec<(Moment, T)>,
    /// After so long it begins anew.
    period: Duration,
}

impl<T: Copy> Trace<T> {
    /// From points in the order of time, the first at the start; it repeats one usual spacing after its last point.
    /// `None` without points.
    pub fn new(points: Vec<(Moment, T)>) -> Option<Self> {
        let (first, last) = (points.first()?.0, points.last()?.0);
        let spacing = match points.len() {
            1 => Duration::from_secs(1),
            many => last.since(first) / (many as u32 - 1),
        };
        let points: Vec<(Moment, T)> =
            points.into_iter().map(|(at, value)| (Moment::START + at.since(first), value)).collect();
        Some(Trace { points, period: (last.since(first) + spacing).max(Duration::from_millis(1)) })
    }

    /// From values in even spacing, the first at the start; `usual` for ever where there are none.
    pub fn even(spacing: Duration, values: impl IntoIterator<Item = T>, usual: T) -> Self {
        let point = |(index, value)| (Moment::START + spacing * index, value);
        let mut points: Vec<(Moment, T)> = (0u32..).zip(values).map(point).collect();
        if points.is_empty() {
            points.push((Moment::START, usual));
        }
        let period = (spacing * points.len() as u32).max(Duration::from_millis(1));
        Trace { points, period }
    }

    /// The value at this time.
    pub fn at(&self, now: Moment) -> T {
        self.held(now).0
    }

    /// The value at this time, and until when it holds.
    pub fn held(&self, now: Moment) -> (T, Moment) {
        let period = (self.period.as_millis() as u64).max(1);
        let within = now.as_millis() % period;
        // Most traces have a line each second: the guess is right nearly always.
        let guess = (u128::from(within) * self.points.len() as u128 / u128::from(period)) as usize;
        let next = |index: usize| self.points.get(index + 1).map_or(period, |(at, _)| at.as_millis());
        let holds = |index: usize| {
            self.points.get(index).is_some_and(|(at, _)| at.as_millis() <= within) && next(index) > within
        };
        let index = match holds(guess) {
            true => guess,
            false => self.points.partition_point(|(at, _)| at.as_millis() <= within).saturating_sub(1),
        };
        (self.points[index].1, now + Duration::from_millis(next(index) - within))
    }

    /// How long it is before it repeats.
    pub fn period(&self) -> Duration {
        self.period
    }
}

/// `t,l1,l2,l3`: seconds and amperes of the house without cars. A first line that is no number is a heading.
///
/// # Errors
/// The first line that is wrong, by its number and what is wrong with it.
pub fn base_load(text: &str) -> Result<Trace<PerPhase<Amps>>, String> {
    read(text, "t,l1,l2,l3", |cells| {
        let [l1, l2, l3] = <[f64; 3]>::try_from(cells).ok()?;
        Some(PerPhase([Amps::from_f64(l1)?, Amps::from_f64(l2)?, Amps::from_f64(l3)?]))
    })
}

/// `t,w`: seconds and generated watts.
///
/// # Errors
/// As for [`base_load`].
pub fn solar(text: &str) -> Result<Trace<i32>, String> {
    read(text, "t,w", |cells| match cells {
        [watts] if watts.abs() < 1e9 => Some(*watts as i32),
        _ => None,
    })
}

fn read<T: Copy>(text: &str, form: &str, value: impl Fn(&[f64]) -> Option<T>) -> Result<Trace<T>, String> {
    let mut points: Vec<(Moment, T)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let cells: Option<Vec<f64>> = line.split(',').map(|cell| cell.trim().parse().ok()).collect();
        if cells.is_none() && points.is_empty() && line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            continue;
        }
        let fault = |what: &str| Err(format!("line {}: {what}: `{line}`", index + 1));
        let Some(point) = cells.as_ref().and_then(|cells| {
            let (seconds, rest) = cells.split_first()?;
            let at = (seconds.is_finite() && seconds.abs() < 1e12).then_some((seconds * 1000.0).round() as i64)?;
            Some((at, value(rest)?))
        }) else {
            return fault(&format!("not `{form}` in numbers"));
        };
        let at = Moment::from_millis(point.0.max(0) as u64);
        if point.0 < 0 {
            return fault("a time before zero");
        }
        if points.last().is_some_and(|(before, _)| *before >= at) {
            return fault("its time is not after the line before");
        }
        if points.len() == LINES_MOST {
            return fault(&format!("more than {LINES_MOST} lines"));
        }
        points.push((at, point.1));
    }
    Trace::new(points).ok_or_else(|| format!("no lines of `{form}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_trace_holds_between_its_lines_and_repeats() {
        let trace = base_load("t,l1,l2,l3\n10,1,2,3\n11,4,5,6.5\n# a gap\n14,7,8,9\n").unwrap();
        let first = |millis| trace.at(at(millis)).0[0];
        assert_eq!([first(0), first(999), first(1_000)], [Amps::whole(1), Amps::whole(1), Amps::whole(4)]);
        assert_eq!([first(3_999), first(4_000)], [Amps::whole(4), Amps::whole(7)]);
        assert_eq!([first(5_999), first(6_000), first(7_000)], [Amps::whole(7), Amps::whole(1), Amps::whole(4)]);
        let until = |millis| trace.held(at(millis)).1.as_millis();
        assert_eq!([until(0), until(1_500), until(5_999), until(7_000)], [1_000, 4_000, 6_000, 10_000]);
    }

    #[test]
    fn even_values_repeat_one_spacing_after_the_last() {
        let trace = Trace::even(Duration::from_millis(500), [7, 8], 0);
        assert_eq!([0, 499, 500, 999, 1_000].map(|millis| trace.at(at(millis))), [7, 7, 8, 8, 7]);
        assert_eq!(Trace::even(Duration::from_secs(1), [], 5).at(at(3_000)), 5);
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert_eq!(base_load("0,1,2,3\n1,1,2\n").unwrap_err(), "line 2: not `t,l1,l2,l3` in numbers: `1,1,2`");
        assert_eq!(solar("t,w\n0,5\n0,6\n").unwrap_err(), "line 3: its time is not after the line before: `0,6`");
        assert_eq!(solar("t,w\n").unwrap_err(), "no lines of `t,w`");
        assert!(base_load("0,nan,0,0").is_err() && base_load("0,1,2,1e9").is_err());
    }
}
