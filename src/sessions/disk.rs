//! What does the journal ask of a disk? A few calls, so that a test can stand in and cut the power at each.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A segment is never longer, whatever somebody has put in its place.
const MOST_READ: u64 = 16 * 1024 * 1024;

/// Where segments are. One of them is being written.
pub trait Disk: Send {
    /// Numbers of all segments, in no order.
    ///
    /// # Errors
    /// Whatever the disk says; so with all others.
    fn list(&mut self) -> io::Result<Vec<u64>>;

    /// All of a segment.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn read(&mut self, segment: u64) -> io::Result<Vec<u8>>;

    /// So many bytes of a segment, or fewer where it ends.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn read_at(&mut self, segment: u64, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// Begins a segment, which must not be there, and leaves the one before.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn begin(&mut self, segment: u64) -> io::Result<()>;

    /// Goes on with the segment that was begun last.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What was appended is durable when this returns `Ok`.
    ///
    /// # Errors
    /// What was appended since the last `Ok` may be lost, and must not be flushed again.
    fn flush(&mut self) -> io::Result<()>;

    /// What has begun or was removed is durable when this returns `Ok`.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn flush_names(&mut self) -> io::Result<()>;

    /// Removes a segment.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn remove(&mut self, segment: u64) -> io::Result<()>;
}

/// A folder of segments.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    current: Option<File>,
}

impl Files {
    /// The folder, made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o750).create(&path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Files { path, current: None })
    }

    /// The folder as it is, to be read by somebody else than its owner.
    pub fn at(path: &Path) -> Self {
        Files { path: path.to_owned(), current: None }
    }

    fn file(&self, segment: u64) -> PathBuf {
        self.path.join(format!("sessions-{segment:08}.jrn"))
    }
}

impl Disk for Files {
    fn list(&mut self) -> io::Result<Vec<u64>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix("sessions-")?.strip_suffix(".jrn")?.parse().ok());
            segments.extend(number.filter(|number| self.file(*number).file_name() == Some(&name)));
        }
        Ok(segments)
    }

    fn read(&mut self, segment: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.file(segment))?.take(MOST_READ).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&mut self, segment: u64, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.file(segment))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn begin(&mut self, segment: u64) -> io::Result<()> {
        self.current = None;
        // For us alone: it tells who charges when.
        let made = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.file(segment))?;
        self.current = Some(made);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.current()?.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current()?.sync_data()
    }

    fn flush_names(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        fs::remove_file(self.file(segment))
    }
}

impl Files {
    fn current(&mut self) -> io::Result<&mut File> {
        self.current.as_mut().ok_or_else(|| io::Error::new(ErrorKind::NotFound, "no segment has been begun"))
    }
}
