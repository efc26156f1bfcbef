//! How does a file get onto the disk whole? Written beside, flushed, renamed, flushed again; two slots take turns.

use super::shelf::{Directory, Shelf};
use super::slot::{self, MOST_BYTES, MOST_HEADER, Slot};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The two slots of a file. The older one is overwritten, so that the newer stays until its successor is safe.
const SLOTS: [&str; 2] = ["a", "b"];

/// How a file ends that is still being written.
const UNFINISHED: &str = ".tmp";

/// Names are short: they become file names together with a suffix.
const MOST_NAME: usize = 40;

/// A folder of small durable files. One process writes to it; reading works on a read-only disk too.
#[derive(Debug)]
pub struct Folder {
    shelf: Box<dyn Shelf>,
    /// Writers of one process take turns.
    turn: Mutex<()>,
}

impl Folder {
    /// Opens the folder, makes it where it is missing, and removes what a cut has left half-written.
    ///
    /// # Errors
    /// The folder is missing and cannot be made, or cannot be listed.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Folder> {
        Folder::on(Box::new(Directory::open(path.as_ref())?))
    }

    /// A folder that is somebody else's, to read in it: nothing is made, and nothing removed.
    ///
    /// # Errors
    /// There is none.
    pub fn look(path: impl AsRef<Path>) -> io::Result<Folder> {
        let shelf = Directory::look(path.as_ref())?;
        Ok(Folder { shelf: Box::new(shelf), turn: Mutex::new(()) })
    }

    pub(super) fn on(shelf: Box<dyn Shelf>) -> io::Result<Folder> {
        for name in shelf.list()?.iter().filter(|name| name.ends_with(UNFINISHED)) {
            // On a read-only disk it stays: nobody ever reads it.
            let _ = shelf.remove(name);
        }
        Ok(Folder { shelf, turn: Mutex::new(()) })
    }

    /// Replaces the content of `name` (`[a-z0-9_-]+`). When this returns `Ok` the new content survives a power cut; until
    /// then, and after an error, [`Folder::read`] gives the one before. It waits for the disk: not for an async task.
    ///
    /// # Errors
    /// A bad name, more than [`MOST_BYTES`], or whatever the disk says. A failed flush is not tried again: what it held is
    /// thrown away, as the kernel may have dropped those pages already.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > MOST_BYTES {
            return Err(invalid(format!("{} bytes for {name:?}: {MOST_BYTES} is the most that is kept", bytes.len())));
        }
        check(name)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest(name)?;
        let (index, number) = newest.map_or((0, 1), |(index, slot)| (1 - index, slot.number.saturating_add(1)));
        let unfinished = format!("{name}{UNFINISHED}");
        let outcome = self
            .fill(&unfinished, &[slot::header(number, bytes).as_bytes(), bytes])
            .and_then(|()| self.shelf.rename(&unfinished, &file(name, index)))
            .and_then(|()| self.shelf.flush_names());
        if outcome.is_err() {
            let _ = self.shelf.remove(&unfinished);
        }
        outcome
    }

    fn fill(&self, unfinished: &str, parts: &[&[u8]]) -> io::Result<()> {
        // Left by an earlier failure: made anew, never followed (it could be a link).
        match self.shelf.remove(unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.shelf.write_new(unfinished, parts)
    }

    /// The last content that was written whole; `None` where there never was any, or nothing whole is left.
    ///
    /// # Errors
    /// A bad name, or no slot is whole and one of them cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        check(name)?;
        Ok(self.newest(name)?.map(|(_, slot)| slot.bytes))
    }

    /// Forgets `name` for good, with what an earlier content of it was; false: there was none. After an error, or a power cut
    /// before this returns, [`Folder::read`] may give an earlier content.
    ///
    /// # Errors
    /// A bad name, or whatever the disk says.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        check(name)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut was_there = false;
        for index in 0..SLOTS.len() {
            match self.shelf.remove(&file(name, index)) {
                Ok(()) => was_there = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.shelf.flush_names()?;
        Ok(was_there)
    }

    /// The newest whole slot. One that cannot be read only matters where the other is not whole either.
    fn newest(&self, name: &str) -> io::Result<Option<(usize, Slot)>> {
        let mut newest: Option<(usize, Slot)> = None;
        let mut trouble = Ok(None);
        for index in 0..SLOTS.len() {
            match self.load(&file(name, index)) {
                Ok(Some(slot)) if newest.as_ref().is_none_or(|(_, other)| slot.number > other.number) => {
                    newest = Some((index, slot));
                }
                Ok(_) => {}
                Err(error) => trouble = Err(error),
            }
        }
        if newest.is_some() { Ok(newest) } else { trouble }
    }

    fn load(&self, file: &str) -> io::Result<Option<Slot>> {
        let most = MOST_BYTES + MOST_HEADER;
        match self.shelf.read(file, most + 1) {
            Ok(bytes) if bytes.len() > most => Ok(None),
            Ok(bytes) => Ok(slot::parse(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn file(name: &str, index: usize) -> String {
    format!("{name}.{}", SLOTS[index])
}

fn check(name: &str) -> io::Result<()> {
    let is_good = (1..=MOST_NAME).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if is_good { Ok(()) } else { Err(invalid(format!("{name:?} is no name for a kept file: a-z 0-9 _ -"))) }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_last_content_is_read_back_after_a_restart() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        assert_eq!(folder.read("policy").unwrap(), None);
        for count in 0u8..5 {
            folder.write("policy", &[count; 10]).unwrap();
            assert_eq!(Folder::open(place.path()).unwrap().read("policy").unwrap(), Some(vec![count; 10]));
        }
        assert_eq!(folder.read("other").unwrap(), None);
    }

    #[test]
    fn wherever_the_newest_slot_is_cut_the_one_before_is_read() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        folder.write("policy", b"the first").unwrap();
        folder.write("policy", b"the second").unwrap();
        let newest = place.path().join("policy.b");
        let whole = fs::read(&newest).unwrap();
        for length in 0..whole.len() {
            fs::write(&newest, &whole[..length]).unwrap();
            assert_eq!(folder.read("policy").unwrap().as_deref(), Some(&b"the first"[..]), "cut after {length} bytes");
        }
        folder.write("policy", b"the third").unwrap();
        assert_eq!(folder.read("policy").unwrap().as_deref(), Some(&b"the third"[..]));
    }

    #[test]
    fn a_cut_while_the_next_one_is_written_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        Folder::open(place.path()).unwrap().write("policy", b"the first").unwrap();
        let next = [slot::header(2, b"the second").as_bytes(), b"the second"].concat();
        for length in 0..=next.len() {
            fs::write(place.path().join("policy.tmp"), &next[..length]).unwrap();
            let folder = Folder::open(place.path()).unwrap();
            assert_eq!(folder.read("policy").unwrap().as_deref(), Some(&b"the first"[..]));
            assert!(!place.path().join("policy.tmp").exists());
        }
    }

    #[test]
    fn garbage_in_both_slots_is_nothing_and_can_be_written_over() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("policy.a"), [0xFF; 300]).unwrap();
        fs::write(place.path().join("policy.b"), vec![b'x'; MOST_BYTES + MOST_HEADER + 5]).unwrap();
        let folder = Folder::open(place.path()).unwrap();
        assert_eq!(folder.read("policy").unwrap(), None);
        folder.write("policy", b"good").unwrap();
        assert_eq!(folder.read("policy").unwrap().as_deref(), Some(&b"good"[..]));
    }

    #[test]
    fn a_missing_folder_is_made_and_one_that_cannot_be_made_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path().join("state/deeper")).unwrap();
        folder.write("policy", b"good").unwrap();
        fs::write(place.path().join("file"), b"").unwrap();
        assert!(Folder::open(place.path().join("file/state")).is_err());
    }

    #[test]
    fn a_disk_that_takes_no_writes_says_so_and_keeps_what_it_has() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        folder.write("policy", b"the first").unwrap();
        // A folder with something in it where the unfinished file belongs refuses writes for root too.
        fs::create_dir_all(place.path().join("policy.tmp/in-the-way")).unwrap();
        assert!(folder.write("policy", b"the second").is_err());
        let reopened = Folder::open(place.path()).unwrap();
        assert_eq!(reopened.read("policy").unwrap().as_deref(), Some(&b"the first"[..]));
    }

    #[test]
    fn a_slot_that_cannot_be_read_or_replaced_leaves_the_last_content_and_no_rubbish() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        folder.write("policy", b"the first").unwrap();
        fs::create_dir_all(place.path().join("policy.b/in-the-way")).unwrap();
        assert!(folder.write("policy", b"the second").is_err());
        assert!(!place.path().join("policy.tmp").exists());
        assert_eq!(folder.read("policy").unwrap().as_deref(), Some(&b"the first"[..]));
    }

    #[test]
    fn what_is_removed_does_not_come_back_and_the_rest_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        for bytes in [b"the first", b"the secnd"] {
            folder.write("policy", bytes).unwrap();
            folder.write("other", bytes).unwrap();
        }
        assert!(folder.remove("policy").unwrap());
        assert!(!folder.remove("policy").unwrap());
        let reopened = Folder::open(place.path()).unwrap();
        assert_eq!(reopened.read("policy").unwrap(), None);
        assert_eq!(reopened.read("other").unwrap().as_deref(), Some(&b"the secnd"[..]));
        assert!(folder.remove("../policy").is_err());
    }

    #[test]
    fn what_is_too_much_or_badly_named_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let kind = |outcome: io::Result<()>| outcome.unwrap_err().kind();
        assert_eq!(kind(folder.write("policy", &vec![0; MOST_BYTES + 1])), ErrorKind::InvalidInput);
        for name in ["", "../policy", "a/b", "Policy", "policy.a", &"x".repeat(41)] {
            assert_eq!(kind(folder.write(name, b"")), ErrorKind::InvalidInput, "{name}");
            assert!(folder.read(name).is_err(), "{name}");
        }
        folder.write("policy", &vec![7; MOST_BYTES]).unwrap();
        assert_eq!(folder.read("policy").unwrap().map(|bytes| bytes.len()), Some(MOST_BYTES));
    }
}
