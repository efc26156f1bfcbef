//! Where does a secret come from? From a file of its own, or from the configuration itself; it is never printed.

use super::Secret;
use super::code;
use super::compile::Place;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Given, Row};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The secret under `inline`, or in the file that `inline`_file names. Faulty also where files are not to be read.
pub fn read(row: &Row, inline: &str, place: &Place, faults: &mut Faults) -> Given<Secret> {
    let key = format!("{inline}_file");
    match (row.text(inline), row.text(&key)) {
        (Given::Absent, Given::Absent) => Given::Absent,
        (Given::Is(secret), Given::Absent) => match checked(secret) {
            Ok(secret) => Given::Is(secret),
            Err(why) => {
                let message = format!("the {inline} of {} cannot be used", row.who);
                faults.push(Diagnostic::at(code::SECRET, row.key_at(inline), message).label(why));
                Given::Faulty
            }
        },
        (Given::Absent, Given::Is(path)) if place.read_secrets => {
            let path = place.path(path);
            match from_file(&path) {
                Ok(secret) => {
                    tell_readable(row, &key, &path, faults);
                    Given::Is(secret)
                }
                Err(why) => {
                    let message = format!("the {inline} of {} cannot be used", row.who);
                    let path = path.display();
                    let help = format!(
                        "write it into {path}, one line, readable for headroom only: \
                         install -m 640 -g headroom /dev/stdin {path}"
                    );
                    faults.push(Diagnostic::at(code::SECRET, row.at(&key), message).label(why).help(help));
                    Given::Faulty
                }
            }
        }
        (Given::Absent, Given::Is(_)) => Given::Faulty,
        (Given::Faulty, _) | (_, Given::Faulty) => Given::Faulty,
        (Given::Is(_), Given::Is(_)) => {
            let message = format!("{} has both \"{inline}\" and \"{key}\"", row.who);
            faults.push(Diagnostic::at(code::MISPLACED, row.key_at(&key), message).label("only one of the two"));
            Given::Faulty
        }
    }
}

fn from_file(path: &Path) -> Result<Secret, String> {
    /// Far more than any password or bearer token; a wrong path such as `/dev/zero` ends here.
    const MOST_BYTES: u64 = 16 * 1024;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("this file cannot be read: {error}"))?;
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| format!("this file cannot be read: {error}"))?;
    checked(&text)
}

fn checked(text: &str) -> Result<Secret, String> {
    let secret = text.trim();
    if secret.is_empty() {
        return Err("it is empty".into());
    }
    if secret.contains(char::is_control) {
        return Err("it has more than one line, or control characters".into());
    }
    Ok(Secret(secret.to_string()))
}

fn tell_readable(row: &Row, key: &str, path: &Path, faults: &mut Faults) {
    const READABLE_BY_OTHERS: u32 = 0o004;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & READABLE_BY_OTHERS != 0 {
        let message = format!("everybody on this machine can read the {key} of {}", row.who);
        let fault = Diagnostic::at(code::READABLE_SECRET, row.at(key), message);
        faults.push(fault.help(format!("chmod o-r {}", path.display())));
    }
}
