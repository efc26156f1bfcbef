//! How does a home live by its policy? From the document to the setpoint, second by second in simulated time.

use chrono::{DateTime, TimeDelta, Utc};
use headroom::cloud::{Age, Ground, Outcome, Standing};
use headroom::config::ChargerConfig;
use headroom::control::observation::{Link, Measured, Need, Plug, Report, Sample, Session};
use headroom::control::{self, Decision, Observation, State};
use headroom::policy::{EvseRule, Memory, Policy, Rights, Scene, Verdict};
use headroom::site::{Circuit, Evse, EvseId, LapseClass, Meter, MeterId, Rotation, Site, Step, Tuning, Wiring};
use headroom::time::{Duration, Moment};
use headroom::units::{Amps, PerPhase, Phase};
use headroom_policy::{Addressee, Trust};
use serde_json::{Value, json};

pub const MINUTE: u64 = 60;

/// A home, its cloud, and cars that take what they are told.
pub struct Home {
    pub site: Site,
    pub standing: Standing,
    pub rights: Rights,
    pub state: State,
    pub seen: Observation,
    pub document: Value,
    pub decision: Decision,
    /// In Wh × 3,600 of each session.
    pub energy: Vec<i64>,
    pub is_cloud_there: bool,
    pub begun: DateTime<Utc>,
    pub now: Moment,
    ids: i64,
}

impl Home {
    /// The installer's file lets nobody in; the document says who may charge.
    pub fn new(site: Site, document: Value, begun: &str) -> Self {
        let evses = site.evses.len();
        let closed = EvseRule { open: None, plug_and_charge: None, ceiling: None };
        let local = Policy { evses: vec![closed; evses], unknown: None, ..Policy::open(evses) };
        let charger = |id: &Evse| ChargerConfig::Ocpp { identity: id.id.clone(), connector: 1, password: None };
        let ground = Ground { chargers: site.evses.iter().map(charger).collect(), site: site.clone(), local };
        let us = Addressee { gateway_id: "gw".into(), location_id: "loc".into() };
        let (standing, _) = Standing::new(us, ground, Trust::Unsigned, Duration::from_secs(60), None);
        let mut seen = Observation::nothing(&site, 0);
        for report in &mut seen.reports {
            (report.link, report.plug) = (Link::Up { since: Moment::START }, Plug::Available);
        }
        let state = State::new(&site, Moment::START);
        let begun = begun.parse().unwrap();
        let rights = Rights::new(standing.look(Moment::START, begun).policy, Memory::default());
        let decision = Decision::default();
        let mut home = Home {
            site,
            standing,
            rights,
            state,
            seen,
            document,
            decision,
            energy: vec![0; evses],
            is_cloud_there: true,
            begun,
            now: Moment::START,
            ids: 0,
        };
        home.publish(|_| {});
        home.run(30);
        home
    }

    pub fn wall(&self) -> DateTime<Utc> {
        self.begun + TimeDelta::milliseconds(self.now.as_millis() as i64)
    }

    pub fn offer(&mut self, bytes: &[u8]) -> Outcome {
        self.standing.offer(bytes, None, self.now, self.wall())
    }

    /// A new version of the document.
    pub fn publish(&mut self, change: impl FnOnce(&mut Value)) {
        self.document["version"] = json!(self.document["version"].as_i64().unwrap() + 1);
        change(&mut self.document);
        let bytes = self.document.to_string();
        assert!(matches!(self.offer(bytes.as_bytes()), Outcome::Taken { .. }), "{:?}", self.offer(bytes.as_bytes()));
    }

    /// Seconds pass: cars take what they are told, the meter shows it, the cloud confirms each minute.
    pub fn run(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            if self.is_cloud_there && (self.now.as_millis() / 1000).is_multiple_of(MINUTE) {
                self.standing.confirm(self.now);
            }
            let mut load = Amps::whole(1);
            for (evse, report) in self.seen.reports.iter_mut().enumerate() {
                let told = self.decision.setpoints.get(evse).map_or(Amps::ZERO, |setpoint| setpoint.amps);
                let Some(session) = &mut report.session else { continue };
                report.plug = if told.is_positive() { Plug::Charging } else { Plug::SuspendedEvse };
                report.measured = Some(Measured { at: self.now, current: PerPhase::all(told), watts: None });
                self.energy[evse] += i64::from(told.as_milli()) * 690 / 1_000;
                session.energy_wh = Some(self.energy[evse] / 3_600);
                load += told;
            }
            let current = PerPhase::all(load);
            self.seen.samples[0] = Some(Sample { at: self.now, current, watts: None, millivolts: None });
            self.step();
        }
        self
    }

    pub fn step(&mut self) {
        let view = self.standing.look(self.now, self.wall());
        self.seen.wall = Some(self.wall());
        let silent = self.now.since(view.state.confirmed.unwrap_or(Moment::START));
        let is_offline = view.state.age != Age::Fresh && silent >= Duration::from_secs(15 * MINUTE);
        let sessions = self.seen.sessions();
        let scene =
            Scene { policy: &view.policy, sessions: &sessions, is_offline, wall: self.seen.wall, now: self.now };
        let policy = self.rights.update(&scene).clone();
        self.decision = control::step(&self.site, &mut self.state, &self.seen, &policy, self.now);
    }

    pub fn arrives(&mut self, evse: EvseId, card: &str) -> &mut Self {
        self.ids += 1;
        self.energy[evse.0] = 0;
        let session =
            Session { id: self.ids, token: Some(card.into()), since: self.now, energy_wh: None, need: Need::default() };
        let link = Link::Up { since: self.now };
        self.seen.reports[evse.0] = Report {
            link,
            epoch: 1,
            plug: Plug::Charging,
            session: Some(session),
            measured: None,
            answer: None,
            ended: None,
        };
        self
    }

    /// What both are told, and why.
    pub fn told(&self) -> Vec<(i32, &'static str)> {
        let told =
            self.decision.setpoints.iter().map(|setpoint| (setpoint.amps.as_milli() / 1000, setpoint.because.code()));
        told.collect()
    }

    /// What a card is told that is held to the reader.
    pub fn asks(&self, evse: EvseId, card: &str) -> Verdict {
        self.rights.policy().entitlement(evse, Some(card), Some(self.wall())).verdict
    }
}

/// EVSEs with these ids behind a main fuse, and a house that takes 1 A.
pub fn site(ids: &[&str], fuse: Amps) -> Site {
    let evse = |id: &str| Evse {
        id: id.into(),
        name: id.into(),
        circuit: Site::ROOT,
        rotation: Rotation::three(Phase::ALL),
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::ZERO,
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(4),
        lapse: LapseClass::A,
        metering: Some(Duration::from_secs(2)),
    };
    Site {
        id: "home".into(),
        name: "Home".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::whole(7)),
        circuits: vec![Circuit {
            id: "main".into(),
            name: "Main".into(),
            parent: None,
            limit: PerPhase::all(fuse),
            margin: PerPhase::all(Amps::whole(1)),
            meter: Some(MeterId(0)),
            other_load: PerPhase::default(),
        }],
        evses: ids.iter().map(|id| evse(id)).collect(),
        meters: vec![Meter {
            id: "grid".into(),
            circuit: Site::ROOT,
            interval: Duration::from_secs(1),
            resolution: Amps::milli(10),
        }],
        tuning: Tuning { ageing: None, ..Tuning::default() },
    }
}
