//! Where are the segments? Files with growing numbers in one directory; the oldest go before there is too much of them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// So many segments share the bytes: what is dropped at once is an eighth of all.
const SEGMENTS: usize = 8;
/// Files of ours are called `flight-00000001.rec`.
const PREFIX: &str = "flight-";
const SUFFIX: &str = ".rec";

/// The files of a recording, as the one who writes them sees them.
#[derive(Debug)]
pub struct Ring {
    directory: PathBuf,
    most: u64,
}

impl Ring {
    /// In this directory, of at most so many bytes. Nothing is touched yet.
    pub fn new(directory: PathBuf, most: u64) -> Self {
        Ring { directory, most }
    }

    /// Bytes of a segment at most.
    pub fn segment(&self) -> usize {
        usize::try_from(self.most).unwrap_or(usize::MAX) / SEGMENTS
    }

    /// A new file, the newest; there is room for it then.
    ///
    /// # Errors
    /// The directory cannot be made or listed, an old file cannot be removed, or the new one not be made.
    pub fn begin(&self) -> io::Result<File> {
        if !self.directory.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        }
        let mut old = files(&self.directory)?;
        let number = old.last().map_or(1, |(number, _)| number.saturating_add(1));
        let size = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
        let mut used: u64 = old.iter().map(|(_, path)| size(path)).sum();
        // From the oldest on; another process may have been quicker.
        old.reverse();
        while let Some((_, oldest)) = old.pop() {
            if old.len() + 1 < SEGMENTS && used + self.segment() as u64 <= self.most {
                break;
            }
            used = used.saturating_sub(size(&oldest));
            match fs::remove_file(&oldest) {
                Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(fault),
                _ => {}
            }
        }
        // For us alone: it tells when people are at home.
        let path = self.directory.join(format!("{PREFIX}{number:08}{SUFFIX}"));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }
}

/// The files of a recording with their numbers, the oldest first.
///
/// # Errors
/// The directory cannot be listed.
pub fn files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok());
        files.extend(number.map(|number| (number, path)));
    }
    files.sort();
    Ok(files)
}
