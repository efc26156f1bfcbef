//! Is somebody else at work in this folder? A lock that ends with the process, however that ends.

use super::shelf::Directory;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file that is locked; there is never anything in it.
const NAME: &str = "lock";

/// A folder is one's own for as long as this is kept.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder, which is made where it is missing; `None`: somebody else has it.
    ///
    /// # Errors
    /// The folder cannot be made, or nothing can be locked in it.
    pub fn take(path: &Path) -> io::Result<Option<Lock>> {
        let folder = Directory::open(path)?;
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(NAME))?;
        folder.give(&open);
        match open.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: open })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_s_own_until_the_lock_is_let_go() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("state");
        let first = Lock::take(&folder).unwrap().unwrap();
        assert!(Lock::take(&folder).unwrap().is_none());
        drop(first);
        assert!(Lock::take(&folder).unwrap().is_some());
        std::fs::write(place.path().join("file"), b"").unwrap();
        assert!(Lock::take(&place.path().join("file")).is_err());
    }
}
