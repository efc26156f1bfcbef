//! How do records stand in a file so that a power cut harms none of them? In groups with a checksum, each in blocks of its own.
//!
//! ```text
//! sessions-00000012.jrn    block 0                          block 1           block 2
//!                          mark length checksum entries 0…  the same group …  the next group
//! ```
//! A group is written at once and flushed before the next one begins. It fills whole blocks of 4 KiB, which is what file
//! systems write: nothing that was flushed is ever written again, so a write that is cut cannot take it along.

use super::Key;
use crate::store::crc32;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// File systems write whole blocks of this size.
pub(super) const BLOCK: usize = 4096;

/// A group has at most so many bytes, with its head: a damaged length asks for no more memory.
pub(super) const MOST_GROUP: usize = 128 * 1024;

/// Before the entries: mark, length, checksum.
const HEAD: usize = 12;
const MARK: [u8; 4] = *b"hrs2";

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry<'e> {
    /// This is what is known of it now; it takes the place of an earlier one of the same key.
    Put(Key, #[serde(borrow)] Item<'e>),
    /// The cloud has these: they are not to be sent again.
    Acked(Cow<'e, [Key]>),
    /// There was no room for these, which the cloud never had; so many are lost by now.
    Lost(Cow<'e, [Key]>, u64),
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'i> {
    /// In which order it goes to the cloud.
    pub(super) number: u64,
    /// It runs: not to be sent yet.
    pub(super) is_open: bool,
    /// JSON.
    #[serde(borrow)]
    pub bytes: Cow<'i, [u8]>,
}

/// Groups that hold these entries, for this place in this segment. An entry that does not fit into a group is left out:
/// what is handed in is bounded far below it.
pub(super) fn write(segment: u64, mut block: u64, entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut out, mut group) = (Vec::new(), Vec::new());
    for entry in entries {
        let Ok(bytes) = postcard::to_allocvec(entry) else { continue };
        if HEAD + group.len() + bytes.len() > MOST_GROUP {
            close(segment, &mut block, &mut group, &mut out);
        }
        group.extend(bytes);
    }
    close(segment, &mut block, &mut group, &mut out);
    out
}

fn close(segment: u64, block: &mut u64, group: &mut Vec<u8>, out: &mut Vec<u8>) {
    if group.is_empty() || HEAD + group.len() > MOST_GROUP {
        return group.clear();
    }
    let start = out.len();
    out.extend(MARK);
    out.extend((group.len() as u32).to_le_bytes());
    out.extend(checksum(segment, *block, group).to_le_bytes());
    out.append(group);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    *block += ((out.len() - start) / BLOCK) as u64;
}

/// Of this group at this place: one that was written elsewhere is not taken for it.
fn checksum(segment: u64, block: u64, group: &[u8]) -> u32 {
    let length = group.len() as u32;
    crc32(segment.to_le_bytes().iter().chain(&block.to_le_bytes()).chain(&length.to_le_bytes()).chain(group))
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Found<'f> {
    /// Each group that is whole: its first block, its blocks, its entries.
    pub groups: Vec<(u64, u64, Vec<Entry<'f>>)>,
    /// Blocks that belong to none: cut, or damaged.
    pub strange: u64,
}

/// Reads a segment, or a part of it that begins with this block. Never fails: what is no group is passed over.
pub(super) fn read(segment: u64, mut block: u64, mut bytes: &[u8]) -> Found<'_> {
    let mut found = Found::default();
    while !bytes.is_empty() {
        let blocks = match entries(segment, block, bytes) {
            Some((entries, length)) => {
                let blocks = length.div_ceil(BLOCK);
                found.groups.push((block, blocks as u64, entries));
                blocks
            }
            None => {
                found.strange += 1;
                1
            }
        };
        block += blocks as u64;
        bytes = bytes.get(blocks * BLOCK..).unwrap_or_default();
    }
    found
}

/// The entries of the group that begins here, and how long it is.
fn entries(segment: u64, block: u64, bytes: &[u8]) -> Option<(Vec<Entry<'_>>, usize)> {
    let (mark, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    if *mark != MARK || length == 0 || length > MOST_GROUP - HEAD {
        return None;
    }
    let mut group = rest.get(..length)?;
    if checksum(segment, block, group) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut entries = Vec::new();
    while !group.is_empty() {
        let (entry, left) = postcard::take_from_bytes(group).ok()?;
        entries.push(entry);
        group = left;
    }
    Some((entries, HEAD + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::Keys;

    fn entries() -> Vec<Entry<'static>> {
        let mut keys = Keys::of(7);
        let item = |number, length| Item { number, is_open: false, bytes: vec![b'x'; length].into() };
        let mut entries: Vec<_> = (0..5).map(|number| Entry::Put(keys.fresh(), item(number, 40_000))).collect();
        entries.push(Entry::Acked(vec![keys.fresh()].into()));
        entries.push(Entry::Lost(vec![keys.fresh()].into(), 3));
        entries
    }

    fn all<'f>(found: &Found<'f>) -> Vec<Entry<'f>> {
        found.groups.iter().flat_map(|(_, _, entries)| entries.clone()).collect()
    }

    #[test]
    fn what_is_written_is_read_back_from_whole_blocks() {
        let bytes = write(3, 10, &entries());
        assert_eq!(bytes.len() % BLOCK, 0);
        let found = read(3, 10, &bytes);
        assert_eq!((all(&found), found.strange), (entries(), 0));
        assert!(found.groups.len() > 1, "more than one group holds");
    }

    #[test]
    fn a_group_at_another_place_is_none() {
        let bytes = write(3, 10, &entries());
        assert!(read(4, 10, &bytes).groups.is_empty());
        assert!(read(3, 11, &bytes).groups.is_empty());
    }

    #[test]
    fn wherever_a_file_is_cut_the_groups_before_are_read() {
        let whole = [write(3, 0, &entries()[5..6]), write(3, 1, &entries()[6..])].concat();
        for length in 0..=whole.len() {
            let found = read(3, 0, &whole[..length]);
            // A group is whole without what fills its block.
            let read = all(&found).len();
            assert!(read >= length / BLOCK && read <= length.div_ceil(BLOCK), "cut after {length} bytes: {read}");
            assert!(entries()[5..].starts_with(&all(&found)));
        }
    }

    #[test]
    fn a_wrong_bit_costs_its_group_and_no_other() {
        let first = write(3, 0, &entries()[5..6]);
        let whole = [first.clone(), write(3, 1, &entries()[6..])].concat();
        for bit in 0..100 * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = all(&read(3, 0, &damaged));
            assert!(found.ends_with(&entries()[6..]), "bit {bit}");
            assert!(found == entries()[5..] || found.len() == 1, "bit {bit}");
        }
    }
}
