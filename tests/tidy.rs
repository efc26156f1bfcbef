//! Does the code keep its own rules? Layers, the pure part, lengths and names, read from the source itself.
#![allow(clippy::unwrap_used, reason = "a test stops where the source cannot be read")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file at most: more is not read in one sitting.
const FILE_LINES_MOST: usize = 500;
/// Lines of a function at most.
const FUNCTION_LINES_MOST: usize = 90;

const EDGES: [&str; 6] = ["modbus", "ocpp", "mqtt", "cloud", "http", "store"];
/// The part that is told the time and gives the same outputs for the same inputs.
const PURE: [&str; 9] = ["breaker", "control", "device", "policy", "site", "units", "time", "transient", "sim"];
/// What may wait beside the edges' `task.rs`: the shell around the core.
const ASYNC_SHELL: [&str; 7] = ["daemon", "cli", "main", "probe", "demo", "inbox", "bench"];
const WORDS_TO_AVOID: [&str; 9] = ["manager", "handler", "service", "helper", "util", "common", "misc", "data", "info"];

/// Who may import whom: each module with the modules it may name. One that is missing here is a breach too.
fn layers() -> BTreeMap<&'static str, Vec<&'static str>> {
    let vocabulary = ["units", "time", "site", "policy"];
    let core = || [&vocabulary[..], &["control"]].concat();
    let edge = || [&core()[..], &["clock", "device", "status", "inbox", "config"]].concat();
    let below_daemon = || [&edge()[..], &EDGES, &["sim", "journal", "notify", "recorder", "sessions"]].concat();
    let mut layers = BTreeMap::from([
        ("units", vec![]),
        ("time", vec![]),
        ("breaker", vec!["units", "time"]),
        ("clock", vec!["time"]),
        ("site", vec!["units", "time"]),
        ("policy", vec!["units", "time", "site"]),
        ("transient", vec!["units", "time", "site", "breaker"]),
        // Its readings become the samples that control is told.
        ("device", [&vocabulary[..], &["control"]].concat()),
        ("control", [&vocabulary[..], &["breaker"]].concat()),
        ("status", core()),
        // Its frames have the checksum of durable files.
        ("recorder", [&core()[..], &["store"]].concat()),
        // So have its groups. It is the disk's edge; the daemon brings what waits to the cloud's.
        ("sessions", [&core()[..], &["clock", "store"]].concat()),
        ("inbox", core()),
        ("config", [&core()[..], &["device", "breaker", "transient"]].concat()),
        ("sim", [&core()[..], &["breaker", "transient"]].concat()),
        ("journal", vec!["time", "clock"]),
        ("notify", vec!["time", "clock"]),
        ("probe", below_daemon()),
        ("daemon", [&below_daemon()[..], &["probe"]].concat()),
        ("bench", [&below_daemon()[..], &["probe", "daemon"]].concat()),
        ("demo", [&below_daemon()[..], &["probe", "daemon", "bench"]].concat()),
    ]);
    layers.extend(EDGES.map(|name| (name, edge())));
    layers
}

/// The roof: may name everything.
const ROOF: [&str; 3] = ["lib", "main", "cli"];

#[test]
fn nobody_imports_a_layer_above_or_beside_him() {
    let layers = layers();
    let mut breaches = vec![];
    for source in sources("src") {
        let module = source.module();
        if ROOF.contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = layers.get(module.as_str()) else {
            breaches.push(format!(
                "{source}: module `{module}` has no place among the layers; give it one in tests/tidy.rs"
            ));
            continue;
        };
        for (line, named) in source.modules_named() {
            if named != module && !allowed.contains(&named.as_str()) {
                breaches.push(format!("{source}:{line}: `{module}` may not import `{named}`"));
            }
        }
    }
    assert_none("layers are breached", &breaches);
}

#[test]
fn the_layers_have_no_circle() {
    let layers = layers();
    // Whoever has only modules that are already out may go out too; a circle never does.
    let mut out = BTreeSet::new();
    while let Some(next) =
        layers.iter().find(|(name, below)| !out.contains(*name) && below.iter().all(|b| out.contains(b)))
    {
        out.insert(*next.0);
    }
    let stuck: Vec<_> = layers.keys().filter(|name| !out.contains(*name)).collect();
    assert!(stuck.is_empty(), "in a circle, or above one: {stuck:?}");
}

#[test]
fn the_pure_part_reads_no_clock_no_dice_and_waits_for_nothing() {
    const IMPURE: [&str; 15] = [
        "Instant",
        "SystemTime",
        "Utc::now",
        "Local::now",
        "Clock",
        "tokio",
        "rand",
        "getrandom",
        "fastrand",
        "RandomState",
        "HashMap",
        "HashSet",
        "thread",
        "env",
        "async",
    ];
    let pure = sources("src").into_iter().filter(|source| PURE.contains(&source.module().as_str()));
    let breaches = pure.chain(sources("policy")).flat_map(|source| source.lines_with(&IMPURE)).collect::<Vec<_>>();
    assert_none("the pure part must be told these", &breaches);
}

#[test]
fn one_file_of_an_edge_is_async() {
    let waits = [&EDGES[..], &["sessions"]].concat();
    let breaches = sources("src")
        .iter()
        .filter(|source| !ASYNC_SHELL.contains(&source.module().as_str()))
        .filter(|source| !(waits.contains(&source.module().as_str()) && source.path.ends_with("task.rs")))
        .flat_map(|source| source.lines_with(&["async", "await"]))
        .collect::<Vec<_>>();
    assert_none("only task.rs of an edge and the shell wait", &breaches);
}

#[test]
fn a_file_says_first_which_question_it_answers() {
    let breaches =
        all_sources().into_iter().filter(|source| !source.text.starts_with("//! ")).map(|source| source.to_string());
    assert_none("no `//! ` in the first line", &breaches.collect::<Vec<_>>());
}

#[test]
fn files_and_functions_are_read_in_one_sitting() {
    let mut breaches = vec![];
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MOST {
            breaches.push(format!("{source}: {lines} lines, {FILE_LINES_MOST} at most"));
        }
        for (name, line, length) in source.functions() {
            if length > FUNCTION_LINES_MOST {
                breaches.push(format!("{source}:{line}: fn {name} has {length} lines, {FUNCTION_LINES_MOST} at most"));
            }
        }
    }
    assert_none("too long", &breaches);
}

#[test]
fn names_say_what_a_thing_is() {
    let mut breaches = vec![];
    for source in all_sources() {
        let parts = source.path.iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned());
        let declared = source.code.lines().filter_map(|line| {
            let (_, name) = line.trim().trim_end_matches([';', '{', ' ']).rsplit_once("mod ")?;
            Some(name.to_owned())
        });
        for name in parts.chain(declared) {
            if name.split('_').any(|word| WORDS_TO_AVOID.contains(&word.trim_end_matches('s'))) {
                breaches.push(format!("{source}: `{name}` does not say what it is"));
            }
        }
    }
    assert_none("names to avoid", &breaches);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!("], ["unimplemented", "!("]].map(|w| w.concat());
    let mut breaches = vec![];
    for source in all_sources() {
        for (number, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                breaches.push(format!("{source}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("left open", &breaches);
}

#[test]
fn tidy_sees_what_it_looks_for() {
    let source = Source::new(
        PathBuf::from("src/control/x.rs"),
        "//! Why?\n#[cfg(test)]\nmod more;\nuse crate::{site::Site, ocpp};\nuse super::super::http;\nfn f() {\n  // crate::mqtt is a comment\n  \
         let _ = (\"crate::cloud }\", '{', crate::store::x, 'a', r#\"\" crate::sim \"#);\n}\n\
         #[cfg(test)]\nmod tests {\n  use crate::daemon;\n  async fn g() {}\n}\n"
            .to_owned(),
    );
    let named: Vec<_> = source.modules_named().into_iter().map(|(line, name)| format!("{line} {name}")).collect();
    assert_eq!(named, ["4 site", "4 ocpp", "5 http", "8 store"]);
    assert_eq!(source.functions(), [("f".to_owned(), 6, 4), ("g".to_owned(), 13, 1)]);
    assert!(source.lines_with(&["async"]).is_empty(), "tests may");
    assert_eq!(source.lines_with(&["fn"]).len(), 1);
}

/// A Rust file.
struct Source {
    path: PathBuf,
    text: String,
    /// The text with comments and the insides of strings blanked out; the lines stay.
    code: String,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Source {
    fn new(path: PathBuf, text: String) -> Self {
        Source { code: blank(&text), path, text }
    }

    /// The top-level module that it belongs to.
    fn module(&self) -> String {
        let first = self.path.iter().nth(1).unwrap_or_default().to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    /// The code without its tests: they come last in a file, or in files named for it, and may use anything.
    fn product(&self) -> &str {
        let is_test = self.path.iter().any(|part| {
            let name = part.to_string_lossy();
            let name = name.trim_end_matches(".rs");
            name == "tests" || name.ends_with("_tests")
        });
        // `mod tests;` stands among the other modules and ends nothing.
        let end = self.code.match_indices("#[cfg(test)]\n").find_map(|(at, gate)| {
            let next = self.code[at + gate.len()..].lines().next()?;
            (next.contains("mod ") && next.ends_with('{')).then_some(at)
        });
        if is_test { "" } else { &self.code[..end.unwrap_or(self.code.len())] }
    }

    /// Top-level modules that the product code names by a path from the crate's root, with the line.
    fn modules_named(&self) -> Vec<(usize, String)> {
        let code = self.product();
        let mut named = vec![];
        // `super` of a module's root file, or twice of a file inside it, is the crate's root as well.
        let depth = self.path.iter().count() - 1 - usize::from(self.path.ends_with("mod.rs"));
        let roots = ["crate::".to_owned(), "super::".repeat(depth)];
        for root in roots {
            for (at, _) in code.match_indices(root.as_str()).filter(|(at, _)| is_word_start(code, *at)) {
                let line = code[..at].matches('\n').count() + 1;
                let rest = &code[at + root.len()..];
                let names = match rest.strip_prefix('{') {
                    Some(group) => group_heads(group),
                    None => vec![word(rest)],
                };
                let is_module = |name: &String| name.starts_with(|c: char| c.is_ascii_lowercase()) && name != "super";
                named.extend(names.into_iter().filter(is_module).map(|name| (line, name)));
            }
        }
        named.sort_by_key(|(line, _)| *line);
        named
    }

    /// Lines of the product code with one of these as a whole word.
    fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let code = self.product();
        let mut found = vec![];
        for (number, line) in code.lines().enumerate() {
            for wanted in words {
                let is_whole = |at: usize| {
                    let after = line[at + wanted.len()..].chars().next();
                    is_word_start(line, at) && !after.is_some_and(is_word_char)
                };
                if line.match_indices(wanted).any(|(at, _)| is_whole(at)) {
                    found.push(format!("{self}:{}: `{wanted}`", number + 1));
                }
            }
        }
        found
    }

    /// Name, first line and number of lines of each function.
    fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut functions = vec![];
        for (at, _) in self.code.match_indices("fn ").filter(|(at, _)| is_word_start(&self.code, *at)) {
            let name = word(&self.code[at + 3..]);
            let rest = &self.code[at..];
            // A declaration without a body ends before a brace opens; `[u8; 4]` in a signature does not end it.
            let mut depth = 0_i32;
            let body = rest.char_indices().find(|(_, c)| {
                depth += i32::from(matches!(c, '[' | '(')) - i32::from(matches!(c, ']' | ')'));
                depth == 0 && matches!(c, '{' | ';')
            });
            let Some((open, '{')) = body else { continue };
            if name.is_empty() {
                continue;
            }
            let mut braces = 0_i32;
            let length = rest[open..].char_indices().find_map(|(end, c)| {
                braces += i32::from(c == '{') - i32::from(c == '}');
                (braces == 0).then(|| rest[..open + end].matches('\n').count() + 1)
            });
            let first = self.code[..at].matches('\n').count() + 1;
            functions.push((name, first, length.unwrap_or(usize::MAX)));
        }
        functions
    }
}

/// The first word of each member of a `{…}` group whose opening brace is already read.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let mut heads = vec![];
    let mut is_head = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_head = true,
            c if is_head && is_word_char(c) => {
                heads.push(word(&group[at..]));
                is_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| is_word_char(*c)).collect()
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word_start(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| is_word_char(c) || c == ':')
}

/// Blanks comments, strings and characters; keeps every line break.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            string_length(rest)
        } else if c == '\'' {
            character_length(rest)
        } else if c == 'r' && !code.ends_with(is_word_char) {
            raw_string_length(rest)
        } else {
            0
        };
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Zero for a lifetime.
fn character_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let after = at + c.len_utf8();
            text[after..].find('\'').map_or(0, |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Zero for anything else that begins with an `r`.
fn raw_string_length(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = 2 + hashes;
    text[inside..].find(&close).map_or(text.len(), |end| inside + end + close.len())
}

fn all_sources() -> Vec<Source> {
    ["src", "tests", "examples", "policy"].into_iter().flat_map(sources).collect()
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![];
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source::new(path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(folder != "src" || found.len() > 10, "the source is not where it was");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn assert_none(what: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{what}:\n{}", breaches.join("\n"));
}
