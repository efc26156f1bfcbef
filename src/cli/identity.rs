//! Who is this gateway? Its key and PIN, for whoever may read the daemon's own files.

use super::{CONFIG, failed, load};
use crate::daemon::identity::{Claim, Identity};
use crate::store::Folder;
use clap::Args;
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct IdentityArguments {
    /// The configuration, which says where the state folder is
    #[arg(long, default_value = CONFIG, value_name = "FILE")]
    config: PathBuf,
}

/// Prints what somebody needs who claims the gateway.
pub(super) fn identity(arguments: &IdentityArguments) -> ExitCode {
    let config = match load(&arguments.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let state = config.state_dir.display();
    let cannot = |fault| failed(&format!("{state}: {fault}; ask as root or as the daemon's user"));
    let folder = match Folder::look(&config.state_dir) {
        Ok(folder) => folder,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return none_yet(&state),
        Err(fault) => return cannot(fault),
    };
    let identity = match Identity::kept(&folder) {
        Ok(Some(identity)) => identity,
        Ok(None) => return none_yet(&state),
        Err(fault) => return cannot(fault),
    };
    say!("gateway     {}", config.cloud.as_ref().map_or("no [cloud]", |cloud| cloud.gateway_id.as_str()));
    say!("public key  {}", identity.public());
    match Claim::kept(&folder).claimed_at {
        Some(at) => say!("claimed     {}", at.format("%F %T UTC")),
        None => say!("PIN         {}", identity.pin),
    }
    ExitCode::SUCCESS
}

fn none_yet(state: &impl Display) -> ExitCode {
    failed(&format!("{state}: there is no identity yet; the daemon makes one at its first start"))
}
