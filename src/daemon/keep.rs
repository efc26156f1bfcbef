//! What outlives the process? Open transactions, the last good policy, what the cloud has not heard, and after an
//! orderly stop the leases that stand.

use crate::control::Lease;
use crate::site::Site;
use crate::store::Folder;
use crate::time::Duration;
use crate::units::Amps;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io;

/// The transactions that run, and the next id.
pub(super) const BOOK: &str = "transactions";
/// The last good policy document and what the gateway remembers of it.
pub(super) const POLICY: &str = "policy";
/// What people have used, and who was let in.
pub(super) const RIGHTS: &str = "rights";
/// What was prepared for this site: TOML, as in the configuration.
pub const PREPARED: &str = "preconfiguration";
/// Ids of requests that were taken.
pub(super) const REQUESTS: &str = "requests";
/// Events that the cloud has not heard of.
pub(super) const EVENTS: &str = "events";
const LEASES: &str = "leases";

#[derive(Debug, Serialize, Deserialize)]
struct Leases {
    saved: DateTime<Utc>,
    standing: Vec<Standing>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Standing {
    evse: String,
    amps: Amps,
    /// The most that may be in force, and until when; without an end where the connection's or none is its end.
    worst: Amps,
    worst_until: Option<DateTime<Utc>>,
    is_proven: bool,
    draw: Amps,
    until: DateTime<Utc>,
    waited_ms: u64,
    yielded: u32,
}

/// Something kept as JSON; `None` where there is nothing, or nothing that can be read, which is told.
pub(super) fn read<T: DeserializeOwned>(folder: Option<&Folder>, name: &str) -> Option<T> {
    let bytes = read_bytes(folder, name)?;
    serde_json::from_slice(&bytes)
        .inspect_err(|fault| tracing::warn!(%fault, "{name}: what was kept cannot be read; starting without it"))
        .ok()
}

/// The bytes kept under this name.
pub(super) fn read_bytes(folder: Option<&Folder>, name: &str) -> Option<Vec<u8>> {
    folder?
        .read(name)
        .inspect_err(|fault| tracing::warn!(%fault, "{name}: what was kept cannot be read; starting without it"))
        .ok()?
}

/// Keeps something as JSON.
pub(super) fn write<T: Serialize>(folder: &Folder, name: &str, value: &T) -> io::Result<()> {
    folder.write(name, &serde_json::to_vec(value)?)
}

/// Keeps the leases that stand, at an orderly stop.
pub(super) fn write_leases(
    folder: &Folder,
    site: &Site,
    leases: &[Option<Lease>],
    wall: DateTime<Utc>,
) -> io::Result<()> {
    let standing = site.evses.iter().zip(leases).filter_map(|(evse, lease)| {
        let lease = (*lease)?;
        let end = |left: Duration| Some(wall + chrono::Duration::from_std(left).ok()?);
        Some(Standing {
            evse: evse.id.clone(),
            amps: lease.amps,
            worst: lease.worst,
            worst_until: lease.worst_left.and_then(end),
            is_proven: lease.is_proven,
            draw: lease.draw,
            until: end(lease.left)?,
            waited_ms: u64::try_from(lease.waited.as_millis()).unwrap_or(u64::MAX),
            yielded: lease.yielded,
        })
    });
    write(folder, LEASES, &Leases { saved: wall, standing: standing.collect() })
}

/// The leases that an orderly stop has left and that still stand. They are forgotten with this: a process that is
/// killed later must not find them again.
pub(super) fn take_leases(folder: Option<&Folder>, site: &Site, wall: DateTime<Utc>) -> Vec<Option<Lease>> {
    let nothing = || site.evses.iter().map(|_| None).collect();
    let (Some(folder), Some(kept)) = (folder, read::<Leases>(folder, LEASES)) else { return nothing() };
    if let Err(fault) = write(folder, LEASES, &Leases { saved: wall, standing: Vec::new() }) {
        tracing::warn!(%fault, "leases: cannot be marked as taken up; starting without them");
        return nothing();
    }
    if wall < kept.saved {
        // The clock stands before the stop: it cannot tell how much of a lease is left.
        return nothing();
    }
    let of = |id: &str| kept.standing.iter().find(|standing| standing.evse == id);
    let left = |until: DateTime<Utc>| (until - wall).to_std().unwrap_or(Duration::ZERO);
    let lease = |standing: &Standing| Lease {
        amps: standing.amps,
        worst: standing.worst,
        worst_left: standing.worst_until.map(left),
        is_proven: standing.is_proven,
        draw: standing.draw,
        left: left(standing.until),
        waited: Duration::from_millis(standing.waited_ms),
        yielded: standing.yielded,
    };
    site.evses.iter().map(|evse| of(&evse.id).map(lease).filter(|lease| !lease.left.is_zero())).collect()
}
