//! What happens at one charger? It lives when something can change, and tells what has.

use super::car::{Car, Connection, Plugged};
use super::charger::Charger;
use crate::control::observation::{Link, Measured, Plug, Report, Session};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};

/// Plugged in to session begun: what the driver needs to hold up a card.
const SESSION_AFTER: Duration = Duration::from_secs(1);

/// A charger and the car in front of it.
#[derive(Debug, Clone)]
pub struct Stand {
    /// The charger.
    pub charger: Charger,
    plugged: Option<Plugged>,
    session: Option<Session>,
    is_stopped: bool,
    metering: Option<Duration>,
    measured: Option<Measured>,
    measure_at: Moment,
    told: Report,
}

impl Stand {
    /// Without a car; it measures first at `measure_at`.
    pub fn new(charger: Charger, metering: Option<Duration>, measure_at: Moment) -> Self {
        Stand {
            charger,
            plugged: None,
            session: None,
            is_stopped: false,
            metering,
            measured: None,
            measure_at,
            told: Report::default(),
        }
    }

    /// A car is plugged in; one that is there already leaves first.
    pub fn arrive(&mut self, car: &Car, connection: Connection, now: Moment) {
        self.leave();
        self.plugged = Some(Plugged::new(car.clone(), connection, now));
    }

    /// The car is gone.
    pub fn leave(&mut self) {
        (self.plugged, self.session, self.is_stopped) = (None, None, false);
    }

    /// The session ends, the car stays.
    pub fn stop(&mut self) {
        (self.session, self.is_stopped) = (None, true);
    }

    /// Lives the tick that ends now, all ticks before having changed nothing. `sessions` counts those of the site.
    pub fn live(&mut self, now: Moment, tick: Duration, sessions: &mut i64) {
        self.charger.live(now);
        let pilot = self.charger.pilot();
        if let Some(plugged) = &mut self.plugged {
            // Without a session the contactor stays open.
            plugged.live(now, tick, if self.session.is_some() { pilot } else { Amps::ZERO });
            if self.session.is_none() && !self.is_stopped && now >= plugged.since + SESSION_AFTER {
                *sessions += 1;
                let (token, need) = (plugged.car.token.clone(), plugged.car.told);
                self.session = Some(Session { id: *sessions, token, since: now, energy_wh: Some(0), need });
            }
        }
        if let Some(interval) = self.metering
            && now >= self.measure_at
        {
            self.measure_at = self.measure_at + interval;
            let watts = self.plugged.as_ref().map_or(0, Plugged::watts);
            self.measured = Some(Measured { at: now, current: self.draw(), watts: Some(watts) });
            if let (Some(session), Some(plugged)) = (&mut self.session, &self.plugged) {
                session.energy_wh = Some(plugged.energy_wh(now));
            }
        }
    }

    /// When something changes by itself, having lived until `now`: it need not live before.
    pub fn wakes_at(&self, now: Moment) -> Moment {
        let never = Moment::from_millis(u64::MAX);
        let measures = self.metering.map_or(never, |_| self.measure_at);
        let car = self.plugged.as_ref().map_or(never, |plugged| match &self.session {
            // The contactor closes in the tick after the session has begun.
            Some(session) if session.since == now => now,
            None if !self.is_stopped => plugged.wakes_at().min(plugged.since + SESSION_AFTER),
            Some(_) | None => plugged.wakes_at(),
        });
        self.charger.wakes_at().min(measures).min(car)
    }

    /// What the car takes, on the charger's own terminals, L1 first.
    pub fn draw(&self) -> PerPhase<Amps> {
        self.plugged.as_ref().map(Plugged::draw).unwrap_or_default()
    }

    /// The car that is there.
    pub fn plugged(&self) -> Option<&Plugged> {
        self.plugged.as_ref()
    }

    /// The session that runs, its energy up to now.
    pub fn session(&self, now: Moment) -> Option<Session> {
        let energy_wh = self.plugged.as_ref().map(|plugged| plugged.energy_wh(now));
        self.session.clone().map(|session| Session { energy_wh, ..session })
    }

    /// What the connector says.
    pub fn plug(&self) -> Plug {
        let Some(plugged) = &self.plugged else { return Plug::Available };
        let is_drawing = plugged.draw().most().is_positive();
        match (&self.session, self.charger.offer() == Amps::ZERO, is_drawing) {
            (None, _, _) if self.is_stopped => Plug::Finishing,
            (None, _, _) => Plug::Preparing,
            (Some(_), true, _) => Plug::SuspendedEvse,
            (Some(_), false, true) => Plug::Charging,
            (Some(_), false, false) => Plug::SuspendedEv,
        }
    }

    /// The whole report, if something has changed and can be told.
    pub fn report(&mut self) -> Option<Report> {
        let (charger, told) = (&self.charger, &self.told);
        match charger.link {
            Link::Up { .. } => {
                let plug = self.plug();
                let is_told = (told.link, told.epoch, told.plug) == (charger.link, charger.epoch, plug)
                    && (told.measured, told.answer) == (self.measured, charger.answer)
                    && told.session == self.session;
                if is_told {
                    return None;
                }
                self.told = Report {
                    link: charger.link,
                    epoch: charger.epoch,
                    plug,
                    session: self.session.clone(),
                    measured: self.measured,
                    answer: charger.answer,
                    ended: None,
                };
            }
            // All that the gateway notices is that the connection is gone.
            Link::Never | Link::Down { .. } if told.link == charger.link => return None,
            Link::Never | Link::Down { .. } => self.told.link = charger.link,
        }
        Some(self.told.clone())
    }
}
