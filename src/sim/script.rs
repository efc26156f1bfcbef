//! What happens at the virtual site, and when?

use super::car::Car;
use super::charger::{Ears, Network};
use super::dice::scramble;
use super::meter::Voice;
use super::plant::TICK;
use super::trace::Trace;
use crate::policy::Policy;
use crate::site::{CircuitId, EvseId, MeterId};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// All that happens, and the plant's own constants.
#[derive(Debug, Clone)]
pub struct Script {
    /// In the order of time.
    pub actions: Vec<(Moment, Action)>,
    /// What the house takes beside all that actions say, measured or generated; phases as for [`Action::Load`].
    pub base: Option<Arc<Trace<PerPhase<Amps>>>>,
    /// What the inverter gives beside all that actions say, measured or generated.
    pub solar: Option<Arc<Trace<i32>>>,
    /// Each second, each phase of the house takes up to so much more or less.
    pub noise: Amps,
    /// Chooses the noise, and what is late or lost.
    pub seed: u64,
    /// Phases that the inverter feeds; without a neutral L1 is the pair L1–L2, L2 the pair L2–L3, L3 the pair L3–L1.
    pub sunny: PhaseSet,
    /// The chargers' own step: they round down to it.
    pub charger_step: Amps,
    /// A charger changes the current that its pilot announces at most so often; starting and stopping are free.
    /// IEC 61851-1 asks for 5 s; zero: at once.
    pub pilot_pace: Duration,
    /// The way to every charger, until an action changes it.
    pub network: Network,
    /// Sample taken to sample told.
    pub meter_latency: Duration,
    /// A sample may be told up to so much later.
    pub meter_jitter: Duration,
    /// Of a thousand samples so many are lost.
    pub meter_lost_permille: u32,
    /// Do meters tell power and voltage beside the current? Then no two of their samples are quite alike.
    pub meter_volts: bool,
    /// The plant's time step: longer where a month is to pass and nothing happens within seconds.
    pub tick: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            actions: Vec::new(),
            base: None,
            solar: None,
            noise: Amps::ZERO,
            seed: 1,
            sunny: PhaseSet::ALL,
            charger_step: Amps::milli(100),
            pilot_pace: Duration::ZERO,
            network: Network::default(),
            meter_latency: Duration::from_millis(100),
            meter_jitter: Duration::ZERO,
            meter_lost_permille: 0,
            meter_volts: true,
            tick: TICK,
        }
    }
}

impl Script {
    /// What comes and goes by the second on a phase, in mA.
    pub(super) fn noise_at(&self, now: Moment, phase: Phase) -> i64 {
        let span = i64::from(self.noise.as_milli());
        let second = now.as_millis() / 1000;
        let key = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (second << 2) ^ phase.index() as u64;
        if span == 0 { 0 } else { (scramble(key) % (2 * span as u64 + 1)) as i64 - span }
    }
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The load at this circuit besides cars changes by so much (negative: less), spread over a while.
    Load {
        /// Where it hangs.
        circuit: CircuitId,
        /// How much more, each phase; without a neutral each pair of lines: L1–L2, L2–L3, L3–L1.
        amps: PerPhase<Amps>,
        /// In which time.
        over: Duration,
    },
    /// The inverter heads for so many watts.
    Sun {
        /// Where to.
        watts: i32,
        /// In which time.
        over: Duration,
    },
    /// A car is plugged in; one that is there already leaves first.
    Arrive(EvseId, Car),
    /// The car is gone.
    Leave(EvseId),
    /// The session ends, the car stays: nothing flows until it is plugged in anew.
    Stop(EvseId),
    /// A charger takes orders so from now on.
    Ears(EvseId, Ears),
    /// A charger's connection to the gateway comes or goes.
    Link(EvseId, bool),
    /// The way to a charger and back is so from now on.
    Network(EvseId, Network),
    /// A charger boots, for so long.
    Reboot(EvseId, Duration),
    /// A meter answers so from now on.
    Voice(MeterId, Voice),
    /// The gateway lives or is dead: then nobody steps and no charger is connected.
    Gateway(bool),
    /// The gateway's clock is set to this; `None`: it is not to be trusted any more.
    TimeOfDay(Option<DateTime<Utc>>),
    /// The way to the cloud is there, or gone: what it has to tell waits.
    Cloud(bool),
    /// The cloud has another policy.
    Policy(Arc<Policy>),
}
