//! How is a fault told? With a code, the place in the file, a caret, and what to do about it.

use std::fmt::Write;

/// A range of bytes in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Span { start: range.start, end: range.end }
    }
}

/// How bad is it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is risky, but allowed.
    Warning,
}

/// One fault or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable and unique, such as `E012` or `W003`; all are in [`super::code::CODES`] and docs/CONFIG.md.
    pub code: &'static str,
    /// What is wrong, with what.
    pub message: String,
    /// Where; `None` where it is the file as a whole.
    pub span: Option<Span>,
    /// What stands beside the caret; may be empty.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A fault at a place.
    pub fn at(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { span: Some(span), ..Self::of_file(code, message) }
    }

    /// A fault of the file as a whole.
    pub fn of_file(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), span: None, label: String::new(), help: None }
    }

    /// With words beside the caret.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Diagnostic { label: label.into(), ..self }
    }

    /// With advice.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Diagnostic { help: Some(help.into()), ..self }
    }

    /// With the advice "did you mean …?", if there is a guess.
    #[must_use]
    pub fn did_you_mean(self, guess: Option<&str>) -> Self {
        match guess {
            Some(guess) => self.help(format!("did you mean \"{guess}\"?")),
            None => self,
        }
    }

    /// Error or warning, as the code's first letter says.
    pub fn severity(&self) -> Severity {
        if self.code.starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// Writes it the way compilers do. `color` adds ANSI colours for a terminal.
    pub fn render(&self, out: &mut String, file: &str, text: &str, color: bool) {
        let paint = Paint::of(self.severity(), color);
        let word = match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{}{word}[{}]{}: {}", paint.loud, self.code, paint.off, printable(&self.message));
        let place = self.span.map(|span| Place::of(text, span));
        let gutter = place.as_ref().map_or(" ".into(), Place::gutter);
        match &place {
            Some(place) => place.render(out, file, &self.label, &paint),
            None => {
                let _ = writeln!(out, "{}{gutter}-->{} {file}", paint.quiet, paint.off);
            }
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "{}{gutter} ={} help: {}", paint.quiet, paint.off, printable(help));
        }
    }
}

/// The line of a byte, from 1.
pub fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|b| *b == b'\n').count()
}

/// Escape sequences for one severity; all empty without colours.
struct Paint {
    loud: &'static str,
    quiet: &'static str,
    off: &'static str,
}

impl Paint {
    fn of(severity: Severity, color: bool) -> Self {
        match (color, severity) {
            (false, _) => Paint { loud: "", quiet: "", off: "" },
            (true, Severity::Error) => Paint { loud: "\x1b[1;31m", quiet: "\x1b[1;34m", off: "\x1b[0m" },
            (true, Severity::Warning) => Paint { loud: "\x1b[1;33m", quiet: "\x1b[1;34m", off: "\x1b[0m" },
        }
    }
}

/// A span as people count: line and column from 1, and the line itself.
struct Place {
    line: usize,
    column: usize,
    width: usize,
    source: String,
}

impl Place {
    fn of(text: &str, span: Span) -> Self {
        let start = floor_boundary(text, span.start);
        let begin = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let stop = floor_boundary(text, span.end).clamp(start, end);
        let line = printable(text[begin..end].trim_end());
        // The key of a text over several lines stands further up, and it may be a secret's.
        let is_inside = ["\"\"\"", "'''"].iter().any(|quotes| text[..begin].matches(quotes).count() % 2 == 1);
        Place {
            line: line_of(text, start),
            column: 1 + text[begin..start].chars().count(),
            width: text[start..stop].trim_end().chars().count().max(1),
            source: if is_inside { line.chars().map(|_| '*').collect() } else { masked(&line) },
        }
    }

    /// As wide as the line number.
    fn gutter(&self) -> String {
        " ".repeat(self.line.to_string().len())
    }

    fn render(&self, out: &mut String, file: &str, label: &str, paint: &Paint) {
        let Place { line, column, width, source } = self;
        let gutter = self.gutter();
        let (loud, quiet, off) = (paint.loud, paint.quiet, paint.off);
        let indent = " ".repeat(column - 1);
        let carets = "^".repeat(*width);
        let pointer = format!("{indent}{loud}{carets} {}{off}", printable(label));
        let _ = writeln!(out, "{quiet}{gutter}-->{off} {file}:{line}:{column}");
        let _ = writeln!(out, "{quiet}{gutter} |{off}");
        let _ = writeln!(out, "{quiet}{line} |{off} {source}");
        let _ = writeln!(out, "{quiet}{gutter} |{off} {}", pointer.trim_end());
    }
}

fn floor_boundary(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// Without anything that steers a terminal; as long as before.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A source line with its secrets starred out, as long as before. It goes by the names of the keys, generously, so
/// that it also works in a file that is not TOML and for a key that is misspelt.
fn masked(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '"' | '\'' => quoted_length(rest),
            _ if is_key(next) => rest.find(|c| !is_key(c)).unwrap_or(rest.len()),
            _ => next.len_utf8(),
        };
        let (part, after) = rest.split_at(length);
        out.push_str(part);
        rest = after;
        if is_key(next) && is_secret(part) {
            let hidden = secret_at(rest);
            out.push_str(&rest[..hidden.start]);
            out.extend(rest[hidden.clone()].chars().map(|_| '*'));
            rest = &rest[hidden.end..];
        }
    }
    out
}

fn is_key(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Does this key name a secret, or nearly so?
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 7] = ["pass", "pasw", "pwd", "token", "secret", "uid", "key"];
    let name = name.to_lowercase();
    let is_slip = || name.len() > 4 && super::suggest::closest(&name, ["password", "token", "secret"]).is_some();
    !name.ends_with("_file") && (PARTS.iter().any(|part| name.contains(part)) || is_slip())
}

/// Where the secret stands in what follows its key; empty where a list of tables does, as their own keys follow.
fn secret_at(rest: &str) -> std::ops::Range<usize> {
    let start = rest.find(|c: char| !" \t=:[{".contains(c)).unwrap_or(rest.len());
    let is_list = rest[..start].contains(['[', '{']);
    let value = &rest[start..];
    let length = match value.chars().next() {
        Some('"' | '\'') if !is_list => quoted_length(value),
        Some('"' | '\'') => value.len(),
        _ if is_list => 0,
        _ => value.find([',', '}', ']', '#']).unwrap_or(value.len()),
    };
    start..start + length
}

/// From a quote to the one that closes it, or to the end of the line.
fn quoted_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return 0 };
    let mut is_escaped = false;
    for (byte, c) in chars {
        if c == quote && !is_escaped {
            // A second or third quote belongs to """.
            let more = text[byte..].chars().take_while(|c| *c == quote).count();
            return if byte == 1 && more == 2 { text.len() } else { byte + more };
        }
        is_escaped = c == '\\' && quote == '"' && !is_escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, part: &str) -> String {
        let start = text.find(part).unwrap();
        let mut out = String::new();
        Diagnostic::at("E003", (start..start + part.len()).into(), "x").render(&mut out, "f.toml", text, false);
        out
    }

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        let text = "# Größe\nparent = \"mian\"\r\n";
        let start = text.find("\"mian").unwrap();
        let mut out = String::new();
        Diagnostic::at("E012", (start..start + 6).into(), "circuit \"garage\" has an unknown parent \"mian\"")
            .label("no circuit has this id")
            .did_you_mean(Some("main"))
            .render(&mut out, "headroom.toml", text, false);
        assert_eq!(
            out,
            "error[E012]: circuit \"garage\" has an unknown parent \"mian\"\n --> headroom.toml:2:10\n  |\n\
             2 | parent = \"mian\"\n  |          ^^^^^^ no circuit has this id\n  = help: did you mean \"main\"?\n"
        );
    }

    #[test]
    fn a_secret_is_never_shown_with_its_line() {
        for line in [
            "password = \"open sesame\"",
            "pasword = 'open sesame'",
            "passwrod=\"open \\\" sesame\" # x",
            "token = [ { uid = \"sesame\", alias = \"Kari\" } ]",
            "uid = sesame",
            "password = \"\"\"sesame\"\"\"",
            "token = \"unclosed sesame",
            "secret.key = \"sesame\"",
            "password \"sesame\"",
            "password = open sesame",
            "password = [\"open\", \"sesame\"]",
            "password: sesame",
        ] {
            let out = shown(line, &line[..3]);
            assert!(!out.contains("sesame"), "{out}");
        }
        assert!(shown("token = [ { uid = \"x\", alias = \"Kari\" } ]", "alias").contains("Kari"));
        assert!(!shown("password = \"\"\"\nopen \\q sesame\n\"\"\"", "\\q").contains("sesame"));
        assert!(shown("id = \"home\"", "id").contains("home"));
        assert!(shown("name = \"Token ring\"", "name").contains("ring"));
        assert!(shown("password_file = \"/etc/x\"", "pass").contains("/etc/x"));
        assert!(shown("identity = \"HOME-1\"", "iden").contains("HOME-1"));
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let text = "a = \"\u{1b}[2Jx\"\n";
        let mut out = String::new();
        Diagnostic::at("E003", (0..1).into(), "\u{1b}[2J").label("\u{7}").render(&mut out, "f", text, false);
        assert!(!out.contains(['\u{1b}', '\u{7}']), "{out:?}");
    }
}
