//! What does a charger want? Its calls, by action, with the fields that we use; everything else in them is ignored.

use super::lenient;
use crate::control::observation::Plug;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// A call from a charger (OCPP 1.6 ed. 2, chapter 4; security whitepaper ed. 3).
#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    /// It has started.
    Boot {
        /// Who made it.
        vendor: String,
        /// What it is.
        model: String,
        /// What runs on it.
        firmware: String,
    },
    /// It wants to know the time.
    Heartbeat,
    /// A connector has changed.
    Status {
        /// 0 is the charger itself.
        connector: Option<i64>,
        /// What the connector says.
        plug: Plug,
        /// Other than `NoError`.
        fault: Option<String>,
    },
    /// May this token charge?
    Authorize {
        /// The token.
        token: Option<String>,
    },
    /// A transaction has begun.
    Start(Start),
    /// A transaction is over.
    Stop {
        /// The id that we gave it; −1 and 0 come too.
        transaction: Option<i64>,
        /// The token it was ended with.
        token: Option<String>,
        /// The register then, in Wh.
        meter_wh: Option<i64>,
    },
    /// Meter values: see [`super::meter`].
    Meter {
        /// 0 is the charger's own main meter.
        connector: Option<i64>,
        /// The transaction they belong to.
        transaction: Option<i64>,
    },
    /// Something of the vendor's own.
    DataTransfer,
    /// It asks for a certificate.
    SignCertificate,
    /// Something that only has to be acknowledged.
    Notice,
}

/// A transaction has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Where.
    pub connector: Option<i64>,
    /// By whom.
    pub token: Option<String>,
    /// The register then, in Wh.
    pub meter_wh: Option<i64>,
    /// When, by the charger's clock. Long ago where it was offline.
    pub at: Option<DateTime<Utc>>,
}

impl Inbound {
    /// Reads a call; `None` for an action that is not known.
    pub fn read(action: &str, payload: &Value) -> Option<Inbound> {
        let connector = || lenient::integer(payload, "connectorId");
        let transaction = || lenient::integer(payload, "transactionId");
        let token = || lenient::text(payload, "idTag");
        let named = |key| lenient::text(payload, key).unwrap_or_else(|| "?".into());
        Some(match action {
            "BootNotification" => Inbound::Boot {
                vendor: named("chargePointVendor"),
                model: named("chargePointModel"),
                firmware: named("firmwareVersion"),
            },
            "Heartbeat" => Inbound::Heartbeat,
            "StatusNotification" => Inbound::Status {
                connector: connector(),
                plug: plug(lenient::text(payload, "status").as_deref()),
                fault: lenient::text(payload, "errorCode").filter(|code| !code.eq_ignore_ascii_case("NoError")),
            },
            "Authorize" => Inbound::Authorize { token: token() },
            "StartTransaction" => Inbound::Start(Start {
                connector: connector(),
                token: token(),
                meter_wh: lenient::integer(payload, "meterStart"),
                at: lenient::time(payload, "timestamp"),
            }),
            "StopTransaction" => Inbound::Stop {
                transaction: transaction(),
                token: token(),
                meter_wh: lenient::integer(payload, "meterStop"),
            },
            "MeterValues" => Inbound::Meter { connector: connector(), transaction: transaction() },
            "DataTransfer" => Inbound::DataTransfer,
            "SignCertificate" => Inbound::SignCertificate,
            "FirmwareStatusNotification"
            | "DiagnosticsStatusNotification"
            | "SecurityEventNotification"
            | "LogStatusNotification"
            | "SignedFirmwareStatusNotification" => Inbound::Notice,
            _ => return None,
        })
    }
}

/// `ChargePointStatus`; a word that is not in the specification is [`Plug::Unknown`].
fn plug(status: Option<&str>) -> Plug {
    match status.unwrap_or_default().to_ascii_lowercase().as_str() {
        "available" | "reserved" => Plug::Available,
        "preparing" => Plug::Preparing,
        "charging" => Plug::Charging,
        "suspendedev" => Plug::SuspendedEv,
        "suspendedevse" => Plug::SuspendedEvse,
        "finishing" => Plug::Finishing,
        "faulted" => Plug::Faulted,
        "unavailable" => Plug::Unavailable,
        _ => Plug::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_start_is_read_from_strings_and_numbers_alike() {
        let strict =
            json!({"connectorId": 1, "idTag": "04A2", "meterStart": 1235, "timestamp": "2026-01-02T03:04:05Z"});
        let loose = json!({"connectorId": "1", "idTag": " 04A2", "meterStart": "1234.5",
            "timestamp": "2026-01-02 03:04:05", "reservationId": null, "unheardOf": {"x": []}});
        let start = Inbound::read("StartTransaction", &strict);
        assert!(matches!(&start, Some(Inbound::Start(start)) if start.meter_wh == Some(1235) && start.at.is_some()));
        assert_eq!(start, Inbound::read("StartTransaction", &loose));
    }

    #[test]
    fn unknown_words_and_missing_fields_do_not_hide_the_rest() {
        let status = json!({"connectorId": -1, "status": "Occupied", "errorCode": "Error"});
        assert_eq!(
            Inbound::read("StatusNotification", &status),
            Some(Inbound::Status { connector: Some(-1), plug: Plug::Unknown, fault: Some("Error".into()) })
        );
        assert_eq!(
            Inbound::read("StopTransaction", &json!(null)),
            Some(Inbound::Stop { transaction: None, token: None, meter_wh: None })
        );
    }

    #[test]
    fn every_word_of_the_specification_is_known() {
        let words = [
            ("Available", Plug::Available),
            ("Preparing", Plug::Preparing),
            ("Charging", Plug::Charging),
            ("SuspendedEV", Plug::SuspendedEv),
            ("SuspendedEVSE", Plug::SuspendedEvse),
            ("Finishing", Plug::Finishing),
            ("Reserved", Plug::Available),
            ("Unavailable", Plug::Unavailable),
            ("Faulted", Plug::Faulted),
        ];
        for (word, meant) in words {
            assert_eq!(plug(Some(word)), meant);
        }
    }

    #[test]
    fn an_action_of_a_newer_version_is_not_known() {
        assert_eq!(Inbound::read("TransactionEvent", &json!({})), None);
    }
}
