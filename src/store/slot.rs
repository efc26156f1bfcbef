//! Is this file whole? A header line with number, length and checksum before the bytes; anything else is no file.

/// The most that one file keeps. A policy document of 1 MiB fits twice; a damaged length can never ask for more memory.
pub const MOST_BYTES: usize = 2 * 1024 * 1024;

/// First word of the header. The number is the format's; another one is not ours to read.
const MAGIC: &str = "headroom-1";

/// The header is never longer than this: the magic word, two decimal `u64` and a checksum in hexadecimal.
pub(super) const MOST_HEADER: usize = 64;

/// What one slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Counts up with every write; of two whole slots the higher one is the last.
    pub number: u64,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// The header that goes before `bytes`.
pub(super) fn header(number: u64, bytes: &[u8]) -> String {
    format!("{MAGIC} {number} {} {:08x}\n", bytes.len(), checksum(number, bytes))
}

/// The slot, if it is whole; `None` for anything cut short, grown, damaged or foreign.
pub(super) fn parse(file: &[u8]) -> Option<Slot> {
    let end = file.iter().take(MOST_HEADER).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&file[..end]).ok()?;
    let bytes = &file[end + 1..];
    let number = line.split(' ').nth(1)?.parse().ok()?;
    // Written out again and compared: there is exactly one header for these bytes.
    (file[..=end] == *header(number, bytes).as_bytes()).then(|| Slot { number, bytes: bytes.to_vec() })
}

fn checksum(number: u64, bytes: &[u8]) -> u32 {
    crc32(number.to_be_bytes().iter().chain(bytes))
}

/// CRC-32 (IEEE 802.3, reflected, as in zlib). It finds accidents, not forgeries.
pub fn crc32<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    !bytes.into_iter().fold(!0, |sum, byte| (sum >> 8) ^ TABLE[usize::from(sum as u8 ^ byte)])
}

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for bytes in [&b""[..], b"x", b"two\nlines\n", &[0, 255, 10, 13]] {
            assert_eq!(parse(&file(7, bytes)), Some(Slot { number: 7, bytes: bytes.to_vec() }));
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_no_file() {
        let whole = file(u64::MAX, b"a policy that took some thought");
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "cut after {length} bytes");
        }
    }

    #[test]
    fn a_single_wrong_bit_anywhere_is_no_file() {
        let whole = file(12, b"a policy that took some thought");
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn more_bytes_than_were_written_are_no_file() {
        let mut grown = file(1, b"abc");
        grown.push(0);
        assert_eq!(parse(&grown), None);
    }

    #[test]
    fn the_checksum_is_the_one_of_zlib() {
        // The standard check value of CRC-32 is that of the digits 1 to 9; the first eight stand in for the number.
        let number = u64::from_be_bytes(*b"12345678");
        assert_eq!(checksum(number, b"9"), 0xCBF4_3926);
    }

    fn file(number: u64, bytes: &[u8]) -> Vec<u8> {
        [header(number, bytes).as_bytes(), bytes].concat()
    }
}
