//! Is the last content there after a power cut? A disk that keeps what it must and no more, cut at each call.

use super::Folder;
use super::shelf::Shelf;
use crate::sim::dice::Dice;
use std::collections::BTreeMap;
use std::io::{self, Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

/// A disk whose names and contents outlive a cut only once they are flushed; before that, any of them may.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    files: Vec<File>,
    /// As programs see them: which file has the name.
    names: BTreeMap<String, usize>,
    /// As they are on the disk.
    flushed: BTreeMap<String, usize>,
    /// What has been done to names since: a file for the name, or none.
    changes: Vec<(String, Option<usize>)>,
    calls: u64,
    cut_at: Option<u64>,
    is_dark: bool,
    /// Says that it has flushed names, and has not.
    lies: bool,
}

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    is_durable: bool,
}

impl Inside {
    fn call(&mut self) -> io::Result<()> {
        self.is_dark |= self.cut_at == Some(self.calls);
        self.calls += 1;
        if self.is_dark { Err(Error::from(ErrorKind::Other)) } else { Ok(()) }
    }

    fn change(&mut self, name: &str, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
        self.changes.push((name.to_owned(), file));
    }

    fn cut(&mut self, dice: &mut Dice) {
        // As a file system that keeps their order, or as one that does not.
        let is_ordered = dice.chance(0.5);
        let kept = dice.between(0, self.changes.len() as i64) as usize;
        for (index, (name, file)) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            if (is_ordered && index < kept) || (!is_ordered && dice.chance(0.5)) {
                match file {
                    Some(file) => self.flushed.insert(name, file),
                    None => self.flushed.remove(&name),
                };
            }
        }
        self.names.clone_from(&self.flushed);
        for file in self.files.iter_mut().filter(|file| !file.is_durable) {
            let length = dice.between(0, file.bytes.len() as i64) as usize;
            match dice.between(0, 2) {
                0 => file.bytes.truncate(length),
                1 => file.bytes[length..].fill(0),
                _ => {}
            }
            file.is_durable = true;
        }
        (self.is_dark, self.cut_at) = (false, None);
    }
}

impl Machine {
    /// Opened as after a start.
    pub(crate) fn folder(&self) -> io::Result<Folder> {
        Folder::on(Box::new(self.clone()))
    }

    /// So many calls from now all of them fail.
    pub(crate) fn cut_after(&self, calls: u64) {
        let mut inside = self.inside();
        inside.cut_at = Some(inside.calls + calls);
    }

    /// What is there when the power comes back.
    pub(crate) fn cut(&self, dice: &mut Dice) {
        self.inside().cut(dice);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }
}

impl Shelf for Machine {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inside().names.keys().cloned().collect())
    }

    fn read(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let inside = self.inside();
        let file = inside.names.get(name).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        Ok(inside.files[*file].bytes.iter().take(most).copied().collect())
    }

    fn write_new(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut inside = self.inside();
        inside.call()?;
        assert!(!inside.names.contains_key(name), "{name} is there");
        inside.files.push(File::default());
        let file = inside.files.len() - 1;
        inside.change(name, Some(file));
        for part in parts {
            // Cut within a write, some of it is done.
            let outcome = inside.call();
            let done = if outcome.is_ok() { part.len() } else { part.len() / 2 };
            inside.files[file].bytes.extend(&part[..done]);
            outcome?;
        }
        inside.call()?;
        inside.files[file].is_durable = true;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inside = self.inside();
        inside.call()?;
        let file = inside.names.get(from).copied().ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        inside.change(to, Some(file));
        inside.change(from, None);
        Ok(())
    }

    fn flush_names(&self) -> io::Result<()> {
        let mut inside = self.inside();
        inside.call()?;
        if !inside.lies {
            inside.changes.clear();
            inside.flushed = inside.names.clone();
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inside = self.inside();
        inside.call()?;
        inside.names.contains_key(name).then_some(()).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        inside.change(name, None);
        Ok(())
    }
}

/// Lives of a process that writes one document after the other; each ends with a cut. `Err` says what is wrong.
fn lives(seed: u64, first_cut: u64, lies: bool) -> Result<u64, String> {
    let (machine, mut dice) = (Machine::default(), Dice::new(seed, first_cut));
    machine.inside().lies = lies;
    let (mut promised, mut number) = (0, 0);
    let mut cuts = 0;
    for life in 0..6 {
        machine.cut_after(if life == 0 { first_cut } else { dice.between(0, 30) as u64 });
        if let Ok(folder) = machine.folder() {
            for _ in 0..8 {
                number += 1;
                if folder.write("policy", format!("version {number} {}", "x".repeat(number % 60)).as_bytes()).is_ok() {
                    promised = number;
                }
            }
        }
        machine.cut(&mut dice);
        cuts += 1;
        let folder = machine.folder().map_err(|fault| fault.to_string())?;
        let found = folder.read("policy").map_err(|fault| fault.to_string())?;
        let version = found.map_or(Some(0), |bytes| String::from_utf8(bytes).ok()?.split(' ').nth(1)?.parse().ok());
        match version {
            // What was being written may be there or not; from here on it is what it is.
            Some(version) if version >= promised && version <= number => promised = version,
            other => return Err(format!("life {life}: {promised} was promised, {other:?} is there")),
        }
    }
    Ok(cuts)
}

#[test]
fn wherever_the_power_is_cut_the_last_document_that_was_written_is_there() {
    let mut cuts = 0;
    for seed in 0..8 {
        for first in 0..50 {
            cuts += lives(seed, first, false).unwrap_or_else(|why| panic!("seed {seed}, cut at call {first}: {why}"));
        }
    }
    println!("policy: {cuts} power cuts, 0 lost");
    assert!(cuts >= 1_000);
}

#[test]
fn a_disk_that_lies_about_names_is_found_out() {
    assert!((0..50).filter(|first| lives(1, *first, true).is_err()).count() > 10);
}
