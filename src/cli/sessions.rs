//! Who charged when? The sessions that the daemon has remembered, read from its folder whether it runs or not.

use super::{CONFIG, failed, load};
use crate::sessions::{self, FOLDER, Files, Month, Wanted};
use chrono::Local;
use clap::Args;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct SessionsArguments {
    /// Those that began in this month, by this machine's time zone: 2026-11
    #[arg(long, value_name = "MONTH")]
    month: Option<Month>,
    /// Those of this person, by the policy's id or the name
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// As CSV with a header
    #[arg(long)]
    csv: bool,
    /// As CSV, a line for each person instead of each session
    #[arg(long, conflicts_with = "csv")]
    totals: bool,
    /// The configuration, which says where the state folder is
    #[arg(long, default_value = CONFIG, value_name = "FILE")]
    config: PathBuf,
    /// The state folder; default: as the configuration says
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Prints them. There being none is no fault.
pub(super) fn sessions(arguments: &SessionsArguments) -> ExitCode {
    let state = match &arguments.state_dir {
        Some(folder) => folder.clone(),
        None => match load(&arguments.config) {
            Ok(config) => config.state_dir,
            Err(code) => return code,
        },
    };
    let folder = state.join(FOLDER);
    let records = match sessions::read_all(&mut Files::at(&folder)) {
        Ok(records) => records,
        Err(fault) if fault.kind() == ErrorKind::NotFound && state.is_dir() => Vec::new(),
        Err(fault) if fault.kind() == ErrorKind::PermissionDenied => {
            return failed(&format!("{}: {fault}; ask as root or as the daemon's user", folder.display()));
        }
        Err(fault) => return failed(&format!("{}: {fault}", folder.display())),
    };
    let wanted = Wanted { month: arguments.month, person: arguments.person.clone() };
    let records = wanted.of(records, &Local);
    let text = match (arguments.csv, arguments.totals) {
        (true, _) => sessions::csv(&records, &Local),
        (false, true) => sessions::totals_csv(&sessions::totals(&records)),
        (false, false) => sessions::table(&records, &Local),
    };
    // Whoever reads may have had enough.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(fault) if fault.kind() != ErrorKind::BrokenPipe => failed(&fault.to_string()),
        _ => ExitCode::SUCCESS,
    }
}
