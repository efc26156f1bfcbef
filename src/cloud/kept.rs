//! What is kept on disk? The last good document as it came, and its keys, below one line with what is known of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The first line is never longer: numbers, a time and an entity tag.
const MOST_HEADER: usize = 1024;

/// The last good document and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The line above the document.
    pub header: Header,
    /// The keys document that it was verified by, byte for byte; empty where it is not signed.
    pub keys: Vec<u8>,
    /// The document, byte for byte: in its envelope where it is signed.
    pub document: Vec<u8>,
}

/// What stands in the line above the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Highest epoch seen.
    pub epoch: u64,
    /// Highest version seen in it.
    pub version: u64,
    /// Of the document; a copy of an earlier release does not say.
    #[serde(default)]
    pub sha256: Option<[u8; 32]>,
    /// The server's name for these bytes.
    pub etag: Option<String>,
    /// Wall time when they were taken; the clock is never believed to be before it.
    pub confirmed_at: DateTime<Utc>,
}

/// The line as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    header: Header,
    /// So many bytes of keys follow, then the document.
    #[serde(default)]
    keys_bytes: usize,
}

impl Kept {
    /// As it goes to disk.
    pub fn encode(&self) -> Vec<u8> {
        // A struct of numbers and texts always becomes JSON; an empty line would only be read as nothing kept.
        let line = Line { header: self.header.clone(), keys_bytes: self.keys.len() };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.keys);
        bytes.extend_from_slice(&self.document);
        bytes
    }

    /// As it comes from disk; `None` if it is nothing of ours.
    pub fn decode(bytes: &[u8]) -> Option<Kept> {
        let end = bytes.iter().take(MOST_HEADER).position(|byte| *byte == b'\n')?;
        let Line { header, keys_bytes } = serde_json::from_slice(&bytes[..end]).ok()?;
        let (keys, document) = bytes[end + 1..].split_at_checked(keys_bytes)?;
        Some(Kept { header, keys: keys.to_vec(), document: document.to_vec() })
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
            sha256: Some([255; 32]),
            etag: Some("\"a\nb\"".into()),
            confirmed_at: "2026-11-21T18:00:00Z".parse().unwrap(),
        };
        for keys in [&b""[..], b"\n{}"] {
            let kept =
                Kept { header: header.clone(), keys: keys.to_vec(), document: b"{\n\"schema\": 1}\n\xff".to_vec() };
            assert_eq!(Kept::decode(&kept.encode()), Some(kept));
        }
    }

    #[test]
    fn the_longest_line_is_read() {
        let header = Header {
            epoch: u64::MAX,
            version: u64::MAX,
            sha256: Some([255; 32]),
            etag: Some("\"".repeat(256)),
            confirmed_at: DateTime::<Utc>::MAX_UTC,
        };
        let kept = Kept { header, keys: vec![0; 999_999], document: vec![] };
        assert_eq!(Kept::decode(&kept.encode()), Some(kept));
    }

    #[test]
    fn what_an_earlier_release_kept_is_read() {
        let line = r#"{"epoch":3,"version":7,"etag":null,"confirmed_at":"2026-11-21T18:00:00Z"}"#;
        let kept = Kept::decode(format!("{line}\n{{}}").as_bytes()).unwrap();
        assert_eq!((kept.header.version, kept.header.sha256, &kept.document[..]), (7, None, &b"{}"[..]));
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        let line = r#"{"epoch":3,"version":7,"etag":null,"confirmed_at":"2026-11-21T18:00:00Z","keys_bytes":9}"#;
        let beyond = format!("{line}\n{{}}").into_bytes();
        for bytes in [&b""[..], b"\n", b"{}\n{}", b"no line", &[b'x'; 2000], &beyond] {
            assert_eq!(Kept::decode(bytes), None);
        }
    }
}
