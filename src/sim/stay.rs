//! How did the cars at one EVSE fare? What each wanted and got, how long it waited, how often it was paused.

use super::plant::Plant;
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use crate::units::Amps;

/// A session counts as met from this share of what was wanted: the last minute of a taper is nobody's fault.
const MET: f64 = 0.999;

/// One car that was there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session {
    /// What its driver wanted; where it is always hungry, its most for as long as it was there.
    pub wanted_kwh: f64,
    /// What it got.
    pub got_kwh: f64,
    /// Did it get all?
    pub is_met: bool,
    /// How often it lost all its current while it wanted some.
    pub pauses: u32,
}

/// The cars at one EVSE, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Stay {
    past: Vec<Session>,
    now: Option<(Moment, Session)>,
    /// Car current from nothing to something.
    pub starts: u32,
    /// The longest that a car wanted current and had none offered.
    pub wait_longest: Duration,
    /// Milliampere-milliseconds that the oracle would have given beyond what the car took.
    pub unused: i64,
    /// When the energy of the car that is there was reckoned up last.
    reckoned_at: Moment,
    /// What it was seen to take last.
    watts: i32,
    waiting_since: Option<Moment>,
    was_drawing: bool,
    was_offered: bool,
}

impl Stay {
    /// The `span` up to now. `oracle` is what a perfect controller would give now.
    pub fn see(&mut self, plant: &Plant, id: EvseId, oracle: Amps, span: Duration, is_second: bool) {
        let plugged = plant.plugged(id);
        if self.now.is_some_and(|(since, _)| plugged.is_none_or(|plugged| plugged.since != since)) {
            self.leave(plant.now());
            (self.waiting_since, self.was_drawing, self.was_offered) = (None, false, false);
        }
        let Some(plugged) = plugged else { return };
        self.now.get_or_insert((plugged.since, Session::default()));
        let Some((_, session)) = &mut self.now else { return };
        let draw = plugged.draw().most();
        let is_hungry = !plugged.is_full(plant.now());
        let now = plant.now();
        let is_offered = plant.offer(id).is_positive();
        self.starts += u32::from(draw.is_positive() && !self.was_drawing);
        session.pauses += u32::from(self.was_offered && !is_offered && is_hungry);
        self.was_drawing = draw.is_positive();
        self.was_offered = is_offered;
        match is_hungry && !is_offered {
            true => {
                let since = *self.waiting_since.get_or_insert(now);
                self.wait_longest = self.wait_longest.max(now.since(since));
            }
            false => self.waiting_since = None,
        }
        if is_hungry {
            self.unused += i64::from((oracle - draw).max(Amps::ZERO).as_milli()) * span.as_millis() as i64;
        }
        if is_second {
            self.reckoned_at = now;
            session.got_kwh = plugged.energy_wh(plant.now()) as f64 / 1000.0;
            session.wanted_kwh = match plugged.car.wants_wh {
                Some(wanted) => wanted as f64 / 1000.0,
                None => {
                    let hours = now.since(plugged.since).as_secs_f64() / 3600.0;
                    plugged.car.most.as_f64() * plugged.volts() as f64 / 1000.0 * hours
                }
            };
            session.is_met = session.got_kwh >= session.wanted_kwh * MET;
        }
        self.watts = plugged.watts();
    }

    /// It has left; since it was reckoned up last it has gone on as it was seen last.
    fn leave(&mut self, now: Moment) {
        let Some((_, mut session)) = self.now.take() else { return };
        let rest_kwh = f64::from(self.watts) / 1000.0 * now.since(self.reckoned_at).as_secs_f64() / 3600.0;
        session.got_kwh = session.wanted_kwh.min(session.got_kwh + rest_kwh).max(session.got_kwh);
        session.is_met = session.got_kwh >= session.wanted_kwh * MET;
        self.past.push(session);
    }

    /// All cars so far, the present one included.
    pub fn sessions(&self) -> impl Iterator<Item = Session> + '_ {
        self.past.iter().copied().chain(self.now.map(|(_, session)| session))
    }
}
