//! Should the gateway forget whose it is? The factory reset at the site: asked twice, done at once, told line by line.

use super::{CONFIG, failed, load};
use crate::clock::Clock;
use crate::config::ASIDE;
use crate::daemon::PREPARED;
use crate::daemon::reset::{self, Reset};
use crate::store::{Folder, Lock};
use clap::Args;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ResetArguments {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Move the installer's configuration aside too: nothing is left of the installation
    #[arg(long)]
    full: bool,
    /// The configuration, which says where the state folder is
    #[arg(long, default_value = CONFIG, value_name = "FILE")]
    config: PathBuf,
    /// The state folder; default: as the configuration says. Recordings of the flight recorder stay then
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Forgets people, cards, sessions and the claim.
pub(super) fn reset(arguments: &ResetArguments) -> ExitCode {
    let (state, recordings) = match &arguments.state_dir {
        Some(folder) => (folder.clone(), None),
        None => match load(&arguments.config) {
            Ok(config) => (config.state_dir, config.recorder.map(|recorder| recorder.dir)),
            Err(code) => return code,
        },
    };
    if !state.is_dir() {
        return failed(&format!("{}: there is no such state folder", state.display()));
    }
    let _lock = match Lock::take(&state) {
        Ok(Some(lock)) => lock,
        Ok(None) => {
            return failed("the daemon is at work with this state folder: stop it first (systemctl stop headroom)");
        }
        Err(fault) => return failed(&format!("{}: {fault}; ask as root or as the daemon's user", state.display())),
    };
    if !arguments.yes && !is_meant(arguments, &state) {
        return failed("nothing has been removed");
    }
    match carry_out(arguments, &state, recordings.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            failed(&format!("not finished: {fault}; run it again, or the daemon's next start goes on with it"))
        }
    }
}

fn is_meant(arguments: &ResetArguments, state: &Path) -> bool {
    say!("This removes from {}, for good:", state.display());
    reset::forgotten().iter().for_each(|what| say!("  - {what}"));
    match arguments.full {
        true => say!("and moves {} aside. Cars get nothing but their fallback then.", arguments.config.display()),
        false => say!("{} stays: fuses, meters, chargers, passwords.", arguments.config.display()),
    }
    print!("Type reset to go on: ");
    let mut line = String::new();
    _ = io::stdout().flush();
    io::stdin().read_line(&mut line).is_ok() && line.trim() == "reset"
}

fn carry_out(arguments: &ResetArguments, state: &Path, recordings: Option<&Path>) -> io::Result<()> {
    let folder = Folder::open(state)?;
    let wall = Clock::start().wall();
    reset::begin(&folder, &Reset::new(wall, None))?;
    let removed = reset::finish(&folder, state, recordings)?;
    removed.iter().for_each(|what| say!("removed: {what}"));
    if removed.is_empty() {
        say!("there was nothing to remove");
    }
    say!("kept: limits that cars may still have");
    if arguments.full {
        if folder.remove(PREPARED)? {
            say!("removed: what was prepared off the site");
        }
        // The last step: whatever is cut before it is done again.
        let aside = format!("{}{ASIDE}{}", arguments.config.display(), wall.format("%Y%m%dT%H%M%SZ"));
        std::fs::rename(&arguments.config, &aside)?;
        say!("moved: {} to {aside}", arguments.config.display());
    }
    Ok(())
}
