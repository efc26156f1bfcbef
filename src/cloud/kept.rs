//! What is kept on disk? The last good document as it came, below one line with what is known of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The first line is never longer: numbers, a time and an entity tag.
const MOST_HEADER: usize = 1024;

/// The last good document and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The line above the document.
    pub header: Header,
    /// The document, byte for byte.
    pub document: Vec<u8>,
}

/// What stands in the line above the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Highest epoch seen.
    pub epoch: u64,
    /// Highest version seen in it.
    pub version: u64,
    /// The server's name for these bytes.
    pub etag: Option<String>,
    /// Wall time when they were taken; the clock is never believed to be before it.
    pub confirmed_at: DateTime<Utc>,
}

impl Kept {
    /// As it goes to disk.
    pub fn encode(&self) -> Vec<u8> {
        // A struct of numbers and texts always becomes JSON; an empty line would only be read as nothing kept.
        let mut bytes = serde_json::to_vec(&self.header).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.document);
        bytes
    }

    /// As it comes from disk; `None` if it is nothing of ours.
    pub fn decode(bytes: &[u8]) -> Option<Kept> {
        let end = bytes.iter().take(MOST_HEADER).position(|byte| *byte == b'\n')?;
        let header = serde_json::from_slice(&bytes[..end]).ok()?;
        Some(Kept { header, document: bytes[end + 1..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_disk_comes_back() {
        let header = Header {
            epoch: 3,
            version: 1842,
            etag: Some("\"a\nb\"".into()),
            confirmed_at: "2026-11-21T18:00:00Z".parse().unwrap(),
        };
        let kept = Kept { header, document: b"{\n\"schema\": 1}\n\xff".to_vec() };
        assert_eq!(Kept::decode(&kept.encode()), Some(kept));
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        for bytes in [&b""[..], b"\n", b"{}\n{}", b"no line", &[b'x'; 2000]] {
            assert_eq!(Kept::decode(bytes), None);
        }
    }
}
