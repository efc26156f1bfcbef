//! Does the cloud hint that there is something new? Server-sent events (WHATWG HTML 9.2), read with bounds.
//!
//! A hint is not trusted with anything: it brings the next question forward, and that question is judged as always. The
//! stream is read by us, as the crates for it (`eventsource-stream`) keep a line of any length.

pub(super) mod task;

use serde::Deserialize;

/// A hint has an id and a number; longer lines, and events of more, are skipped.
const MOST_EVENT: usize = 1024;

/// Reads a stream in any pieces.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Something of this event was too long: no part of it counts.
    is_void: bool,
    is_after_return: bool,
}

#[derive(Deserialize)]
struct Hint<'a> {
    #[serde(borrow)]
    gateway_id: std::borrow::Cow<'a, str>,
    #[serde(rename = "version")]
    _version: u64,
}

impl Reader {
    /// Takes in what came; was there a hint for this gateway?
    pub fn feed(&mut self, bytes: &[u8], gateway_id: &str) -> bool {
        let mut is_hinted = false;
        for byte in bytes {
            let is_second = *byte == b'\n' && self.is_after_return;
            self.is_after_return = *byte == b'\r';
            match byte {
                b'\n' if is_second => {}
                b'\n' | b'\r' => is_hinted |= self.end_of_line(gateway_id),
                byte if self.line.len() < MOST_EVENT => self.line.push(*byte),
                _ => self.is_void = true,
            }
        }
        is_hinted
    }

    fn end_of_line(&mut self, gateway_id: &str) -> bool {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            let is_void = std::mem::take(&mut self.is_void);
            let hint = serde_json::from_slice::<Hint>(&data);
            return !is_void && hint.is_ok_and(|hint| hint.gateway_id == gateway_id);
        }
        // A stream may begin with a byte order mark.
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line);
        if let Some(value) = line.strip_prefix(b"data:") {
            if self.data.len() + value.len() < MOST_EVENT {
                // One space after the colon is none of the value; JSON does not mind, nor about the break between two lines.
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            } else {
                self.is_void = true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: &str = "data: {\"gateway_id\": \"gw_1\", \"version\": 7}";

    fn is_hinted(stream: &str) -> bool {
        Reader::default().feed(stream.as_bytes(), "gw_1")
    }

    #[test]
    fn a_hint_for_this_gateway_is_heard_with_each_end_of_line() {
        for end in ["\n", "\r", "\r\n"] {
            assert!(is_hinted(&format!("{HINT}{end}{end}")), "{end:?}");
            assert!(
                is_hinted(&format!("\u{feff}event: policy{end}: says nothing{end}id: 4{end}{HINT}{end}{end}")),
                "{end:?}"
            );
        }
        assert!(is_hinted("data:{\"gateway_id\":\"gw_1\",\ndata:\"version\":7}\n\n"));
    }

    #[test]
    fn a_hint_is_heard_in_any_pieces() {
        let stream = format!(": hello\r\n\r\n{HINT}\r\n\r\n");
        let mut reader = Reader::default();
        let heard = stream.bytes().filter(|byte| reader.feed(&[*byte], "gw_1")).count();
        assert_eq!(heard, 1);
    }

    #[test]
    fn junk_is_no_hint() {
        let long = "x".repeat(5_000);
        for stream in [
            format!("{HINT}\n"),
            HINT.replace("gw_1", "gw_2") + "\n\n",
            HINT.replace("data", "date") + "\n\n",
            HINT.replace('7', "-7") + "\n\n",
            "data: [[[[[[\n\n".to_owned(),
            "\n\n\n\n".to_owned(),
            format!("data: {{\"gateway_id\": \"gw_1\", \"version\": 7, \"more\": \"{long}\"}}\n\n"),
            format!("{HINT}\ndata: {long}\n\n"),
            format!("{HINT}\n{}\n", "data: {}\n".repeat(1000)),
        ] {
            assert!(!is_hinted(&stream), "{stream:.80}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_the_next_event_counts() {
        let mut reader = Reader::default();
        for _ in 0..100 {
            assert!(!reader.feed(&[b'x'; 10_000], "gw_1"));
        }
        assert!(reader.line.capacity() + reader.data.capacity() <= 4 * MOST_EVENT);
        assert!(reader.feed(format!("\n\n{HINT}\n\n").as_bytes(), "gw_1"));
    }
}
