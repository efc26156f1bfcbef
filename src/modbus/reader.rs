//! What does one unit on a bus have to say? Its blocks become a word for the inbox, or a fault that is told once.

use super::fault::Fault;
use super::sample::{generation, sample};
use crate::config::{Config, DeviceConfig, ModbusAddress};
use crate::control::observation::Word;
use crate::device::walk::Placed;
use crate::device::{Device, Reading, Role, decode};
use crate::site::MeterId;
use crate::time::{Duration, Moment};
use crate::units::PhaseSet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One meter or inverter, as its bus sees it.
#[derive(Debug)]
pub struct Reader {
    whom: Whom,
    id: String,
    /// Where it is.
    pub address: ModbusAddress,
    /// Its unit number.
    pub unit: u8,
    /// How it is laid out.
    pub device: Arc<Device>,
    /// How often it is read.
    pub interval: Duration,
    /// Where its registers are, once that is known.
    pub placed: Option<Placed>,
    phases: PhaseSet,
    is_failing: bool,
}

#[derive(Debug, Clone, Copy)]
enum Whom {
    Meter(MeterId),
    Inverter(usize),
}

/// All meters and inverters of a configuration, by bus.
pub fn readers(config: &Config) -> BTreeMap<ModbusAddress, Vec<Reader>> {
    let phases = config.site.wiring.phases();
    let meters = config.meters.iter().enumerate().map(|(index, meter)| (Whom::Meter(MeterId(index)), meter));
    let inverters = config.inverters.iter().enumerate().map(|(index, inverter)| (Whom::Inverter(index), inverter));
    let mut buses: BTreeMap<ModbusAddress, Vec<Reader>> = BTreeMap::new();
    for (whom, config) in meters.chain(inverters) {
        buses.entry(config.address.clone()).or_default().push(Reader::new(whom, config, phases));
    }
    buses
}

impl Reader {
    fn new(whom: Whom, config: &DeviceConfig, phases: PhaseSet) -> Self {
        Reader {
            whom,
            id: config.id.clone(),
            address: config.address.clone(),
            unit: config.unit,
            device: config.device.clone(),
            interval: config.interval,
            placed: None,
            phases,
            is_failing: false,
        }
    }

    /// Meter or inverter.
    pub fn role(&self) -> Role {
        self.whom.role()
    }

    /// What a poll that ended at `now` has brought, and whether it was good. An inverter that is silent has no word: it
    /// sleeps at night.
    pub fn hear(&mut self, poll: Result<Vec<Vec<u16>>, Fault>, now: Moment) -> (Option<Word>, bool) {
        let heard = poll.and_then(|blocks| self.word(&blocks, now));
        match heard {
            Ok(word) => {
                self.tell_recovery();
                (Some(word), true)
            }
            Err(fault) => {
                if matches!(fault, Fault::Refused(..)) {
                    self.placed = None;
                }
                let text = format!("{} \"{}\": {}", self.role(), self.id, fault.words(&self.address, self.unit));
                self.tell_failure(&text);
                match self.whom {
                    Whom::Meter(meter) => (Some(Word::MeterFault(meter, text)), false),
                    Whom::Inverter(_) => (None, false),
                }
            }
        }
    }

    fn word(&mut self, blocks: &[Vec<u16>], now: Moment) -> Result<Word, Fault> {
        let Some(placed) = self.placed.take_if(|placed| placed.still_there(blocks)) else {
            self.placed = None;
            return Err(Fault::Other("its SunSpec model has moved; looking for it again".into()));
        };
        let reading = Reading::of(&decode(&placed.map, blocks));
        self.placed = Some(placed);
        match self.whom {
            Whom::Meter(meter) => sample(&reading, now, self.phases).map(|sample| Word::Sample(meter, sample)),
            Whom::Inverter(index) => generation(&reading, now).map(|generation| Word::Generation(index, generation)),
        }
        .map_err(Fault::Hole)
    }

    fn tell_failure(&mut self, text: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            match self.whom {
                Whom::Meter(_) => tracing::warn!(meter = self.id, "{text}"),
                Whom::Inverter(_) => tracing::info!(inverter = self.id, "{text}"),
            }
        }
    }

    fn tell_recovery(&mut self) {
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!(id = self.id, "{} \"{}\": read again", self.role(), self.id);
        }
    }
}

impl Whom {
    fn role(self) -> Role {
        match self {
            Whom::Meter(_) => Role::Meter,
            Whom::Inverter(_) => Role::Inverter,
        }
    }
}
