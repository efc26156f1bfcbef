//! What does a durable file ask of a disk? A few calls, so that a test can stand in and cut the power at each.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// Files by their names. All calls fail with whatever the disk says.
pub(super) trait Shelf: Debug + Send + Sync {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The first bytes of a file, so many at most.
    fn read(&self, name: &str, most: usize) -> io::Result<Vec<u8>>;

    /// Makes a file, which must not be there, of these parts. Its content is durable when this returns `Ok`, its name not.
    fn write_new(&self, name: &str, parts: &[&[u8]]) -> io::Result<()>;

    /// Gives a file another name; what had that name is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// All names are durable when this returns `Ok`.
    fn flush_names(&self) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A directory.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Made where it is missing.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o750).create(path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Directory(path.to_owned()))
    }

    /// It has to be there.
    pub fn look(path: &Path) -> io::Result<Self> {
        fs::read_dir(path).map(|_| Directory(path.to_owned()))
    }

    /// What root makes here is the folder's owner's, who has to read it later.
    pub fn give(&self, file: &File) {
        let owner = fs::metadata(&self.0).map(|about| (about.uid(), about.gid()));
        let ours = file.metadata().map(|about| about.uid());
        if let (Ok((user, group)), Ok(ours)) = (owner, ours)
            && user != ours
        {
            // Who is not root cannot, and need not.
            _ = fchown(file, Some(user), Some(group));
        }
    }
}

impl Shelf for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.0.join(name))?.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_new(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        // For us alone: policies hold card numbers.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.0.join(name))?;
        self.give(&file);
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn flush_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }
}
