//! Does the configuration compiler say the right thing, and take the right things? Golden messages, shipped files,
//! the typed result, and texts that nobody would write.

use headroom::config::schema::{FILE, Key, Kind, Otherwise, Section};
use headroom::config::{CheckOptions, Config, Loaded, Severity, code::CODES, compile, compile_with, load};
use headroom::site::{CircuitId, LapseClass, Rotation, Tuning, Wiring};
use headroom::units::{Amps, PerPhase, Phase};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn devices() -> Vec<String> {
    ["eastron-sdm630", "sunspec"].map(String::from).to_vec()
}

fn check(text: &str) -> Loaded {
    compile(text, "headroom.toml", Path::new("."), &devices())
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().map(|fault| fault.code).collect()
}

fn toml_files(dir: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

/// With `BLESS=1` the messages of today become the expected ones: read the difference before you commit it.
#[test]
fn every_message_reads_as_agreed() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in toml_files("tests/config") {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let loaded = compile(&text, name, Path::new("tests/config"), &devices());
        seen.extend(codes(&loaded));
        let golden = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, loaded.render(false)).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != loaded.render(false) {
            wrong.push(format!("{}:\n{}", golden.display(), loaded.render(false)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // These two depend on the machine and have tests of their own.
    seen.extend(["E002", "W006"]);
    let unseen: Vec<&str> = CODES.iter().map(|(code, _)| *code).filter(|code| !seen.contains(code)).collect();
    assert!(unseen.is_empty(), "no file in tests/config brings {unseen:?}");
}

#[test]
fn five_faults_of_five_kinds_are_told_at_once_each_with_its_line() {
    let loaded = load(Path::new("tests/config/five-faults.toml"), &devices());
    assert!(loaded.config.is_none());
    assert_eq!(loaded.errors(), 5, "{}", loaded.render(false));
    let told: Vec<(&str, usize)> =
        loaded.diagnostics.iter().map(|fault| (fault.code, loaded.line(fault).unwrap())).collect();
    assert_eq!(told, [("E003", 6), ("E021", 10), ("E012", 14), ("E004", 23), ("E024", 36)]);
}
