//! Does the configuration compiler say the right thing, and take the right things? Golden messages, shipped files,
//! the typed result, and texts that nobody would write.

#![allow(clippy::unwrap_used)] // a test that cannot read its own files has failed

#[path = "config/devices.rs"]
mod own_devices;
#[path = "config/transient.rs"]
mod transient;

use headroom::config::schema::{FILE, Key, Kind, Otherwise, Section};
use headroom::config::{
    CheckOptions, Config, Loaded, RecorderConfig, Severity, code::CODES, compile, compile_with, load, load_with,
};
use headroom::device::Library;
use headroom::site::{CircuitId, LapseClass, Rotation, Step, Tuning, Wiring};
use headroom::units::{Amps, PerPhase, Phase};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn devices() -> Library {
    Library::load(None).unwrap()
}

fn check(text: &str) -> Loaded {
    compile(text, "headroom.toml", Path::new("."), &devices())
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().map(|fault| fault.code).collect()
}

/// Nothing to tell, but for what only shorter leases or smaller cars could avoid.
fn is_fine(loaded: &Loaded) -> bool {
    codes(loaded).iter().all(|code| *code == "W011")
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
    seen.extend(["E002", "W006", "W016"]);
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

/// Every section with its keys, nested ones too.
fn sections() -> Vec<&'static Section> {
    fn below(section: &'static Section, all: &mut Vec<&'static Section>) {
        for key in section.keys {
            if let Kind::Table(inner) | Kind::Tables(inner) = key.kind {
                all.push(inner);
                below(inner, all);
            }
        }
    }
    let mut all = vec![];
    below(&FILE, &mut all);
    all
}

/// A key's row in docs/CONFIG.md, without its meaning.
fn documented(key: &Key) -> String {
    let default = match &key.otherwise {
        Otherwise::Needed => "needed".to_string(),
        Otherwise::Is(literal) => format!("`{literal}`"),
        Otherwise::Says(words) => words.to_string(),
    };
    let unit = if key.unit().is_empty() { String::new() } else { format!(" ({})", key.unit()) };
    format!("| `{}` | {}{unit} | {} | {default} |", key.name, key.kind.words(), key.kind.range())
}

/// The rows of docs/CONFIG.md below the heading of a section.
fn documented_rows<'d>(docs: &'d str, section: &Section) -> Vec<&'d str> {
    let heading = match (section.path, section.path.split_once('.')) {
        (_, Some((outer, inner))) => format!("## `{inner}` in `[{outer}]`\n"),
        (path, None) if FILE.keys.iter().any(|key| key.name == path && matches!(key.kind, Kind::Tables(_))) => {
            format!("## `[[{path}]]`\n")
        }
        (path, None) => format!("## `[{path}]`\n"),
    };
    let (_, after) = docs.split_once(&heading).unwrap_or_else(|| panic!("docs/CONFIG.md has no {heading}"));
    let here = after.split("\n## ").next().unwrap();
    here.lines().filter(|line| line.starts_with("| `")).collect()
}

#[test]
fn the_manual_has_every_key_with_its_range_and_default_and_no_other() {
    let docs = std::fs::read_to_string("docs/CONFIG.md").unwrap();
    for section in sections() {
        let rows = documented_rows(&docs, section);
        let keys: Vec<String> = section.keys.iter().map(documented).collect();
        let is_row = |row: &&str, key: &String| row.starts_with(key.as_str()) && row.len() > key.len() + 5;
        for (row, key) in rows.iter().zip(&keys) {
            assert!(is_row(row, key), "[{}] in docs/CONFIG.md\n has  {row}\n want {key} …", section.path);
        }
        assert_eq!(rows.len(), keys.len(), "[{}] has other keys in docs/CONFIG.md", section.path);
    }
}

#[test]
fn the_manual_has_every_code_and_no_other() {
    let docs = std::fs::read_to_string("docs/CONFIG.md").unwrap();
    let (_, table) = docs.split_once("## Codes").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| E") || line.starts_with("| W")).collect();
    let wanted: Vec<String> = CODES.iter().map(|(code, about)| format!("| {code} | {about} |")).collect();
    assert_eq!(rows, wanted);
}

/// Every `section key value` of a configuration, those that are commented out too; comments after values are cut off.
fn written(text: &str) -> BTreeSet<(String, String, String)> {
    let mut section = String::new();
    let mut all = BTreeSet::new();
    for line in text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if line.starts_with('[') {
            section = line.split(['[', ']']).find(|part| !part.is_empty()).unwrap().to_string();
        } else if let Some((key, value)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            let value = value.split(" #").next().unwrap().trim();
            all.insert((section.clone(), key.to_string(), value.to_string()));
            let inner = value.strip_prefix("[ {").and_then(|inner| inner.strip_suffix("} ]"));
            for part in inner.into_iter().flat_map(|inner| inner.split(", ")) {
                let (name, value) = part.trim().split_once(" = ").unwrap();
                all.insert((format!("{section}.{key}"), name.to_string(), value.to_string()));
            }
        }
    }
    all
}

#[test]
fn the_default_configuration_has_every_key_with_its_default_and_no_other() {
    let text = std::fs::read_to_string("config/headroom.toml").unwrap();
    let written = written(&text);
    let mut known = BTreeSet::new();
    for section in sections() {
        for key in section.keys {
            known.insert((section.path.to_string(), key.name.to_string()));
            let values: Vec<&str> = written
                .iter()
                .filter(|(path, name, _)| path == section.path && name == key.name)
                .map(|(_, _, value)| value.as_str())
                .collect();
            assert!(!values.is_empty(), "config/headroom.toml lacks {} of [{}]", key.name, section.path);
            let line = |start: &str| text.lines().any(|line| line.starts_with(start));
            if let Otherwise::Is(default) = key.otherwise
                && section.path != "policy.token"
                && !line(&format!("{} = ", key.name))
            {
                assert!(values.contains(&default.to_string().as_str()), "default of {}: {values:?}", key.name);
            }
        }
    }
    let unknown: Vec<_> =
        written.iter().filter(|(path, name, _)| !known.contains(&(path.clone(), name.clone()))).collect();
    assert!(unknown.is_empty(), "config/headroom.toml has {unknown:?}");
}

#[test]
fn shipped_configurations_have_neither_errors_nor_warnings_but_that_a_gateway_may_die() {
    let files = [toml_files("config"), toml_files("config/examples")].concat();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let loaded = load_with(&path, &devices(), CheckOptions { read_secrets: false });
        assert!(is_fine(&loaded), "{}", loaded.render(false));
    }
}

#[test]
fn what_the_readme_shows_is_fine() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let shown = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let loaded = compile_with(shown, "README.md", Path::new(""), &devices(), CheckOptions { read_secrets: false });
    assert!(is_fine(&loaded), "{}", loaded.render(false));
}

#[test]
fn without_their_secrets_shipped_configurations_give_no_config_to_run_with() {
    let loaded = load_with(Path::new("config/headroom.toml"), &devices(), CheckOptions { read_secrets: false });
    assert!(loaded.config.is_none(), "a charger would need no password");
    let with_broker = format!("{}\n[mqtt]\nhost = \"x\"\nusername = \"u\"\npassword_file = \"p\"\n", small(""));
    let options = CheckOptions { read_secrets: false };
    let loaded = compile_with(&with_broker, "x", Path::new("."), &devices(), options);
    assert!(loaded.config.is_none() && loaded.diagnostics.is_empty(), "{}", loaded.render(false));
}

#[test]
fn the_default_configuration_needs_its_secret_and_says_how_to_make_it() {
    let loaded = load(Path::new("config/headroom.toml"), &devices());
    assert_eq!(codes(&loaded), ["E026"], "{}", loaded.render(false));
    assert!(loaded.render(false).contains("write it into /etc/headroom/home-1.password"));
}

/// The default configuration with its one secret in the file.
fn default_config() -> Config {
    let text = std::fs::read_to_string("config/headroom.toml").unwrap();
    let text = text.replace("password_file = \"/etc/headroom/home-1.password\"", "password = \"0123456789abcdef\"");
    let loaded = compile(&text, "headroom.toml", Path::new("/etc/headroom"), &devices());
    loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

#[test]
fn the_default_configuration_compiles_to_what_it_says() {
    let config = default_config();
    let site = &config.site;
    assert_eq!((site.id.as_str(), site.name.as_str(), site.wiring), ("home", "home", Wiring::Star));
    assert_eq!(site.house_worst, PerPhase::all(Amps::whole(10)));
    let main = site.circuit(CircuitId(0));
    assert_eq!(main.limit, PerPhase::all(Amps::whole(25)));
    assert_eq!(main.margin, PerPhase::all(Amps::milli(510)), "max(0.5 A, 2 %) and 0.01 A of the meter");
    assert_eq!((main.parent, main.meter.map(|meter| meter.0)), (None, Some(0)));
    assert_eq!(site.meters[0].interval, Duration::from_secs(1));

    let left = &site.evses[0];
    assert_eq!((left.least, left.most, left.fallback), (Amps::whole(6), Amps::whole(16), Amps::whole(6)));
    assert_eq!((left.lease, left.response), (Duration::from_secs(120), Duration::from_secs(13)));
    assert_eq!((left.lapse, left.step), (LapseClass::B, Step::Multiple(Amps::whole(1))));
    assert_eq!(left.rotation, Rotation::three(Phase::ALL));
    assert_eq!(left.metering, Some(Duration::from_secs(10)));
    let right = &site.evses[1];
    assert_eq!((right.lapse, right.rotation), (LapseClass::A, Rotation::one(Phase::L2)));

    assert_eq!(config.ocpp.as_ref().unwrap().listen.to_string(), "0.0.0.0:9000");
    let mqtt = config.mqtt.as_ref().unwrap();
    assert_eq!((mqtt.client_id.as_str(), mqtt.discovery.as_deref()), ("headroom-home", Some("homeassistant")));
    assert!(config.http.is_some() && config.cloud.as_ref().unwrap().allow_unsigned);
    assert_eq!(config.policy.evses.len(), 2);
    let recorder = RecorderConfig { dir: "/run/headroom".into(), most: 8 * 1024 * 1024 };
    assert_eq!(config.recorder, Some(recorder));
    assert!(!format!("{config:?}").contains("0123456789abcdef"), "a secret is not printed");
}

#[test]
fn the_recorder_is_where_the_file_says_or_nowhere() {
    let recorder = |more: &str| check(&small(more)).config.unwrap().recorder;
    assert_eq!(recorder("").map(|recorder| recorder.dir), Some("/run/headroom".into()));
    let small = recorder("[recorder]\ndir = \"/srv/flight\"\nmost_mib = 1");
    assert_eq!(small, Some(RecorderConfig { dir: "/srv/flight".into(), most: 1024 * 1024 }));
    assert_eq!(recorder("[recorder]\nenabled = false"), None);
}

#[test]
fn absent_tuning_is_the_tuning_of_control() {
    assert_eq!(format!("{:?}", default_config().site.tuning), format!("{:?}", Tuning::default()));
}

/// The smallest site, with more at its end.
fn small(more: &str) -> String {
    format!(
        "[site]\nid = \"s\"\nwiring = \"star\"\nhouse_worst_a = 0\n[[circuit]]\nid = \"main\"\nfuse_a = 63\n\
         [[meter]]\nid = \"m\"\ncircuit = \"main\"\ndevice = \"sunspec\"\naddress = \"m:502\"\n{more}"
    )
}

#[test]
fn the_smallest_site_has_neither_servers_nor_a_cloud() {
    let config = check(&small("")).config.unwrap();
    assert!(config.ocpp.is_none() && config.mqtt.is_none() && config.http.is_none() && config.cloud.is_none());
}

#[test]
fn circuits_come_parents_first_and_else_in_the_order_of_the_file() {
    let config = check(&format!(
        "{}{}",
        small("").replace("id = \"main\"\nfuse_a", "id = \"leaf\"\nparent = \"row\"\nother_load_a = 0\nfuse_a"),
        "[[circuit]]\nid = \"b\"\nparent = \"main\"\nfuse_a = 20\nother_load_a = 0\n\
         [[circuit]]\nid = \"main\"\nfuse_a = [63, 50, 40]\n\
         [[circuit]]\nid = \"row\"\nparent = \"main\"\nfuse_a = 25\nother_load_a = [1, 0, 0.5]\n\
         [[charger]]\nid = \"c\"\ncircuit = \"leaf\"\nprotocol = \"ocpp\"\nidentity = \"C\"\npassword = \"0123456789abcdef\"\n"
    ))
    .config
    .unwrap();
    let site = &config.site;
    let ids: Vec<&str> = site.circuits.iter().map(|circuit| circuit.id.as_str()).collect();
    assert_eq!(ids, ["main", "b", "row", "leaf"]);
    let parents: Vec<Option<usize>> = site.circuits.iter().map(|circuit| circuit.parent.map(|id| id.0)).collect();
    assert_eq!(parents, [None, Some(0), Some(0), Some(2)]);
    assert_eq!(site.evses[0].circuit, CircuitId(3));
    assert_eq!(site.meters[0].circuit, CircuitId(0));
    assert_eq!(site.circuits[0].limit, PerPhase([63, 50, 40].map(Amps::whole)));
    assert_eq!(site.circuits[0].margin, PerPhase([1_270, 1_010, 810].map(Amps::milli)));
    assert_eq!(site.circuits[2].other_load, PerPhase([1_000, 0, 500].map(Amps::milli)));
    assert_eq!(site.circuits[3].margin, PerPhase([1_260; 3].map(Amps::milli)), "no meter, no resolution");
}

#[test]
fn a_single_phase_site_has_nothing_on_the_other_phases() {
    let text = std::fs::read_to_string("config/examples/single-phase.toml").unwrap();
    let config = check(&text).config.unwrap();
    assert_eq!(config.site.wiring, Wiring::Single);
    assert_eq!(config.site.circuits[0].limit, PerPhase([40, 0, 0].map(Amps::whole)));
    assert_eq!(config.site.evses[0].rotation, Rotation::one(Phase::L1));
    assert_eq!(config.site.evses[0].step, Step::Multiple(Amps::milli(500)));
}

#[test]
fn tokens_of_one_entitlement_share_a_class() {
    let config = check(&small(
        "[policy]\naccess = \"known\"\ntoken = [ { uid = \"04:a2\", alias = \"Kari\", priority = 6, weight = 4 }, \
         { uid = \"B\", priority = 6, weight = 4 }, { uid = \"C\", ceiling_a = 10 }, { uid = \"D\" } ]\n",
    ))
    .config
    .unwrap();
    let policy = &config.policy;
    let classes: Vec<_> = policy.classes.iter().map(|class| (class.priority, class.weight, class.ceiling)).collect();
    assert_eq!(classes, [(6, 4, None), (0, 1, Some(Amps::whole(10))), (0, 1, None)]);
    assert_eq!(policy.unknown, None);
    let kari = &policy.principals[policy.tokens["04A2"].principal];
    assert_eq!((kari.alias.as_deref(), kari.class), (Some("Kari"), 0));
}

const CHARGER: &str = "[[charger]]\nid = \"c\"\ncircuit = \"main\"\nprotocol = \"ocpp\"\nidentity = \"C\"\n";

#[test]
fn a_secret_file_is_found_beside_the_configuration_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("headroom.toml");
    std::fs::write(&path, small(&format!("{CHARGER}password_file = \"c.password\"\n"))).unwrap();
    write_secret(&dir.path().join("c.password"), "  0123456789abcdef\n", 0o640);
    let loaded = load(&path, &devices());
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
    match &loaded.config.unwrap().chargers[0] {
        headroom::config::ChargerConfig::Ocpp { password: Some(password), .. } => {
            assert_eq!(password.0, "0123456789abcdef");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_or_broken_secret_file_is_refused_and_an_open_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let text = small(&format!("{CHARGER}password_file = \"c.password\"\n"));
    for (secret, mode, code) in [
        ("", 0o600, "E026"),
        (" \n", 0o600, "E026"),
        ("two\nlines", 0o600, "E026"),
        ("0123456789abcdef", 0o644, "W006"),
    ] {
        write_secret(&dir.path().join("c.password"), secret, mode);
        let loaded = compile(&text, "headroom.toml", dir.path(), &devices());
        assert_eq!(codes(&loaded), [code], "{secret:?}");
        assert_eq!(loaded.config.is_some(), code == "W006");
        assert!(!loaded.render(false).contains("0123456789"));
    }
}

fn write_secret(path: &Path, secret: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, secret).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_missing_file_is_told_like_any_other_fault() {
    let loaded = load(Path::new("tests/config/no-such.toml"), &devices());
    assert_eq!(codes(&loaded), ["E002"]);
    assert!(loaded.config.is_none());
    assert!(loaded.render(false).contains("--> tests/config/no-such.toml\n"), "{}", loaded.render(false));
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let loaded = load(Path::new("tests/config/values.toml"), &devices());
    let mut plain = loaded.render(true);
    assert!(plain.contains("\u{1b}[1;31merror[E008]\u{1b}[0m"));
    for escape in ["\u{1b}[1;31m", "\u{1b}[1;33m", "\u{1b}[1;34m", "\u{1b}[0m"] {
        plain = plain.replace(escape, "");
    }
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>();
    assert_eq!(trimmed(&plain), trimmed(&loaded.render(false)));
}

/// What must hold for any text: no panic, a configuration exactly where there is no error, and each fault in the text.
fn holds_for(text: &str) {
    let loaded = check(text);
    let rendered = loaded.render(false);
    assert_eq!(loaded.config.is_some(), loaded.errors() == 0, "{rendered}");
    for fault in &loaded.diagnostics {
        assert!(CODES.iter().any(|(code, _)| *code == fault.code));
        assert!(fault.span.is_none_or(|span| span.start <= span.end && span.end <= text.len()), "{fault:?}");
        assert_eq!(fault.severity() == Severity::Warning, fault.code.starts_with('W'));
    }
}

/// A line of the default configuration, or one that does not belong.
fn some_line() -> impl Strategy<Value = String> {
    let lines = std::fs::read_to_string("config/headroom.toml").unwrap().replace("password_file", "password");
    let lines: Vec<String> = lines.lines().map(|line| line.strip_prefix("# ").unwrap_or(line).to_string()).collect();
    let values =
        ["nan", "-1", "\"\"", "[]", "{}", "[[1]]", "1e400", "true", "\"main\"", "\"é\u{7}\"", "0", "\"left\"", "25"];
    prop_oneof![
        8 => proptest::sample::select(lines.clone()),
        4 => (proptest::sample::select(lines), proptest::sample::select(values.to_vec())).prop_map(|(line, value)| {
            match line.split_once(" = ") {
                Some((key, _)) => format!("{key} = {value}"),
                None => line,
            }
        }),
        1 => "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_is_told_and_never_panics(text in any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())) {
        holds_for(&text);
    }

    #[test]
    fn shuffled_lines_of_a_configuration_are_told_and_never_panic(lines in prop::collection::vec(some_line(), 0..40)) {
        holds_for(&lines.join("\n"));
    }

    #[test]
    fn a_configuration_with_one_line_changed_is_told_and_never_panics(at in 0usize..60, line in some_line()) {
        let text = std::fs::read_to_string("config/headroom.toml").unwrap();
        let text = text.replace("password_file = \"/etc/headroom/home-1.password\"", "password = \"0123456789abcdef\"");
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()).collect();
        let at = at % lines.len();
        lines[at] = &line;
        holds_for(&lines.join("\n"));
    }

    /// Adds up again, in another way, what an accepted site would carry without us.
    #[test]
    fn an_accepted_site_fits_its_fuses_without_us(
        house in 0i32..30, fuse in 10i32..64, row_fuse in 6i32..40, other in 0i32..10,
        chargers in prop::collection::vec((any::<bool>(), 0usize..4, 0usize..2, any::<bool>()), 0..6),
    ) {
        let mut text = small("").replace("house_worst_a = 0", &format!("house_worst_a = {house}"))
            .replace("fuse_a = 63", &format!("fuse_a = {fuse}"));
        text += &format!("[[circuit]]\nid = \"row\"\nparent = \"main\"\nfuse_a = {row_fuse}\nother_load_a = {other}\n");
        let (mut main, mut row) = ([house; 3], [other; 3]);
        for (place, (is_in_row, phase, fallback, latches)) in chargers.iter().enumerate() {
            let circuit = if *is_in_row { "row" } else { "main" };
            let rotation = ["R", "S", "T", "TRS"][*phase];
            let fallback = [0, 8][*fallback];
            let lapse = if *latches { "c" } else { "b" };
            text += &format!("[[charger]]\nid = \"c{place}\"\ncircuit = \"{circuit}\"\nprotocol = \"ocpp\"\nidentity = \"C{place}\"\n\
                password = \"0123456789abcdef\"\nrotation = \"{rotation}\"\nfallback_a = {fallback}\nmost_a = 10\nlapse = \"{lapse}\"\n");
            let alone = if *latches { 10 } else { fallback };
            for at in (0..3).filter(|at| *phase == 3 || phase == at) {
                main[at] += alone;
                row[at] += if *is_in_row { alone } else { 0 };
            }
        }
        let fits = main.iter().all(|amps| *amps <= fuse) && row.iter().all(|amps| *amps <= row_fuse);
        let loaded = check(&text);
        prop_assert_eq!(loaded.config.is_some(), fits, "{}", loaded.render(false));
        prop_assert_eq!(codes(&loaded).contains(&"E021"), !fits);
    }
}
