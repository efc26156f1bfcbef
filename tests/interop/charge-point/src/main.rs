//! What does a charger built on somebody else's OCPP stack do with our setpoints? It says so, a JSON line a second.
//!
//! `charge-point URL USER PASSWORD ID_TAG` dials in, plugs a three-phase 16 A car in and charges. Each line is
//! `{"limit_a": 9.0, "current_a": 9.0}`; the limit is null while nothing limits it.

use ocpp_charge_point::executor::TokioExecutor;
use ocpp_charge_point::hardware::{
    Capabilities, ChargePoint, Connector, Evse, HardwareCommandReceiver, HardwareEventSender, execute_hardware_command,
};
use ocpp_charge_point::provisioning::TokioBackoff;
use ocpp_charge_point::state::{ChargePointEvent, ConnectorEvent, EvseEvent, IdToken, IdTokenKind, MeterSample};
use ocpp_client::{ConnectOptions, OcppVersion};
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the car takes when nothing limits it.
const CAR_MOST_MA: u32 = 16_000;
/// Below this a car takes nothing (IEC 61851-1).
const CAR_LEAST_MA: u32 = 6_000;
/// Volts between phase and neutral, times three phases.
const VOLTS: i64 = 3 * 230;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, user, password, id_tag] = arguments.as_slice() else {
        eprintln!("usage: charge-point URL USER PASSWORD ID_TAG");
        std::process::exit(2);
    };
    let plug = Plug::default();
    let runtime = loop {
        let options = ConnectOptions { username: Some(user), password: Some(password), ..ConnectOptions::default() };
        let dialled = ocpp_charge_point::connect_and_setup(
            Station { evses: vec![Point { plugs: vec![plug.clone()] }] },
            url,
            Some(&[OcppVersion::V1_6]),
            Some(options),
            None,
            TokioExecutor,
            TokioBackoff,
        );
        match dialled.await {
            Ok(runtime) => break runtime,
            Err(fault) => eprintln!("not connected: {fault}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let tell = |event| runtime.send(ChargePointEvent::Evse { evse_id: 0, event: connector(event) });
    let token = IdToken { value: id_tag.as_str().into(), kind: IdTokenKind::ISO14443 };
    let _ = tell(ConnectorEvent::CableConnected).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _ = tell(ConnectorEvent::IdTokenPresented(token)).await;

    let mut energy_mwh = 0_i64;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (limit_ma, current_ma) = plug.read();
        energy_mwh += i64::from(current_ma) * VOLTS / 3600;
        let sample = MeterSample {
            energy_wh: energy_mwh / 1000,
            power_w: Some(i64::from(current_ma) * VOLTS / 1000),
            current_ma: Some(current_ma.into()),
            voltage_v: Some(230),
            soc_percent: None,
        };
        let _ = tell(ConnectorEvent::MeterValueSampled(sample)).await;
        let line = serde_json::json!({
            "limit_a": limit_ma.map(|limit| f64::from(limit) / 1000.0),
            "current_a": f64::from(current_ma) / 1000.0,
        });
        if writeln!(std::io::stdout(), "{line}").is_err() {
            return;
        }
    }
}

fn connector(event: ConnectorEvent) -> EvseEvent {
    EvseEvent::Connector { connector_id: 0, event }
}

/// Contactor, pilot and car.
#[derive(Clone, Default)]
struct Plug(Arc<Mutex<Pilot>>);

#[derive(Default)]
struct Pilot {
    is_closed: bool,
    limit_ma: Option<u32>,
}

impl Plug {
    /// The limit, and what the car takes under it.
    fn read(&self) -> (Option<u32>, u32) {
        let pilot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = pilot.limit_ma.unwrap_or(CAR_MOST_MA).min(CAR_MOST_MA);
        let current = if pilot.is_closed && allowed >= CAR_LEAST_MA { allowed } else { 0 };
        (pilot.limit_ma, current)
    }

    fn set(&self, change: impl FnOnce(&mut Pilot)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[async_trait::async_trait]
impl Connector for Plug {
    type Error = Infallible;

    async fn lock(&self) -> Result<(), Infallible> {
        Ok(())
    }
    async fn unlock(&self) -> Result<(), Infallible> {
        Ok(())
    }
    async fn close_contactor(&self) -> Result<(), Infallible> {
        self.set(|pilot| pilot.is_closed = true);
        Ok(())
    }
    async fn open_contactor(&self) -> Result<(), Infallible> {
        self.set(|pilot| pilot.is_closed = false);
        Ok(())
    }
    async fn set_current_limit(&self, limit_ma: Option<u32>) -> Result<(), Infallible> {
        self.set(|pilot| pilot.limit_ma = limit_ma);
        Ok(())
    }
}

struct Point {
    plugs: Vec<Plug>,
}

#[async_trait::async_trait]
impl Evse<Plug> for Point {
    type Error = Infallible;

    fn connectors(&self) -> &[Plug] {
        &self.plugs
    }
    async fn reboot(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Station {
    evses: Vec<Point>,
}

#[async_trait::async_trait]
impl ChargePoint<Point, Plug> for Station {
    type StartError = Infallible;

    fn vendor_name(&self) -> &str {
        "Peer"
    }
    fn model_name(&self) -> &str {
        "Rust"
    }
    fn evses(&self) -> &[Point] {
        &self.evses
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default().with_smart_charging(true)
    }
    async fn start(
        self: Arc<Self>,
        events: HardwareEventSender,
        mut commands: HardwareCommandReceiver,
    ) -> Result<(), Infallible> {
        tokio::spawn(async move {
            while let Ok(command) = commands.recv().await {
                execute_hardware_command(self.evses(), command, &events).await;
            }
        });
        Ok(())
    }
}
