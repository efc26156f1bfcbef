//! Text in, `Config` or faults out: raw → check → typed, with all faults at once.

use super::diagnostic::{Diagnostic, Severity, line_of};
use super::prepared::merge;
use super::raw::{self, Faults};
use super::schema::STATE_DIR;
use super::{Config, PreparedConfig, check, code};
use crate::device::Library;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What came of a file.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` where there are errors, or secrets were not read although the file names some.
    pub config: Option<Config>,
    /// All faults and warnings, from top to bottom.
    pub diagnostics: Vec<Diagnostic>,
    /// What became of a preconfiguration, line by line.
    pub prepared: Vec<String>,
    /// What the installer is told besides: for each circuit, what flows at worst if the gateway dies.
    pub notes: Vec<String>,
    file: String,
    text: String,
}

/// How to check.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Read the files that hold secrets? Without them a file can be checked on another machine than its own, but
    /// there is no [`Config`] if it names any.
    pub read_secrets: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions { read_secrets: true }
    }
}

/// What the machine holds, as far as the configuration speaks of it.
#[derive(Debug)]
pub struct Place {
    /// Relative paths start here: the directory of the file.
    base: PathBuf,
    /// All device files, built-in ones and those in `device_dir`.
    pub(super) devices: Library,
    /// `false` where those in `device_dir` cannot be used, which has been told.
    pub(super) are_devices_known: bool,
    /// See [`CheckOptions`].
    pub(super) read_secrets: bool,
}

impl Place {
    /// A path as the file means it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }
}

/// Reads and compiles a file.
pub fn load(path: &Path, built_in: &Library) -> Loaded {
    load_with(path, built_in, CheckOptions::default())
}

/// [`load`], with options.
pub fn load_with(path: &Path, built_in: &Library, options: CheckOptions) -> Loaded {
    let file = path.display().to_string();
    let base = path.parent().unwrap_or(Path::new(""));
    match read(path) {
        Ok(text) => compile_with(&text, &file, base, built_in, options),
        Err(why) => {
            let fault = Diagnostic::of_file(code::UNREADABLE, format!("the configuration cannot be read: {why}"));
            let help = match moved_aside(path) {
                Some(aside) => format!(
                    "a factory reset has moved it aside: `mv {aside} {file}` brings it back, if the site is the same; \
                     otherwise write a new one and check it with `headroom check {file}`"
                ),
                None => "headroom reads /etc/headroom/headroom.toml unless --config says otherwise".to_owned(),
            };
            Loaded {
                config: None,
                diagnostics: vec![fault.help(help)],
                prepared: Vec::new(),
                notes: Vec::new(),
                file,
                text: String::new(),
            }
        }
    }
}

/// [`load_with`], over what was prepared off the site: the file wins key by key. Where both together have an error the file
/// stands alone.
pub fn load_over(path: &Path, built_in: &Library, options: CheckOptions, prepared: Option<&str>) -> Loaded {
    let alone = load_with(path, built_in, options);
    let (Some(prepared), Ok(text)) = (prepared, read(path)) else { return alone };
    let merged = match merge(&text, prepared) {
        Ok(merged) => merged,
        Err(why) => {
            return alone.with_prepared(false, vec![format!("the preconfiguration is not used: {why}")]);
        }
    };
    let name = format!("{} over the preconfiguration", alone.file);
    let base = path.parent().unwrap_or(Path::new(""));
    let both = compile_with(&merged.text, &name, base, built_in, options);
    let mut told: Vec<String> = merged.conflicts;
    told.extend(merged.not_taken.into_iter().map(|what| format!("{what}: is not taken from a preconfiguration")));
    if both.errors() == 0 {
        return both.with_prepared(true, told);
    }
    let mut lines = vec!["the preconfiguration is not used, as there are errors with it:".to_owned()];
    let errors = both.diagnostics.iter().filter(|fault| fault.severity() == Severity::Error);
    lines.extend(errors.map(|fault| format!("{}: {} ({})", fault.code, fault.message, fault.label)));
    lines.extend(told);
    alone.with_prepared(false, lines)
}

/// Where this file has things kept, whatever else is wrong with it.
pub fn state_dir(path: &Path) -> PathBuf {
    let table = read(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let said = table.as_ref().and_then(|table| table.get("site")?.get("state_dir")?.as_str());
    path.parent().unwrap_or(Path::new("")).join(said.unwrap_or(STATE_DIR))
}

/// Compiles a text. `file` is its name in messages; relative paths in it start at `base`.
pub fn compile(text: &str, file: &str, base: &Path, built_in: &Library) -> Loaded {
    compile_with(text, file, base, built_in, CheckOptions::default())
}

/// [`compile`], with options.
pub fn compile_with(text: &str, file: &str, base: &Path, built_in: &Library, options: CheckOptions) -> Loaded {
    let mut faults = Faults::new(text);
    let place = Place {
        base: base.to_path_buf(),
        devices: built_in.clone(),
        are_devices_known: true,
        read_secrets: options.read_secrets,
    };
    let config = raw::parse(text, &mut faults).and_then(|root| check::config(&root, place, &mut faults));
    let config = config.filter(|_| !faults.has_errors());
    let Faults { list: mut diagnostics, notes, .. } = faults;
    diagnostics.sort_by_key(|fault| fault.span);
    Loaded { config, diagnostics, prepared: Vec::new(), notes, file: file.to_string(), text: text.to_string() }
}

impl Loaded {
    /// This has become of what was prepared.
    fn with_prepared(mut self, is_used: bool, told: Vec<String>) -> Self {
        if let Some(config) = &mut self.config {
            config.prepared = Some(PreparedConfig { is_used, told: told.clone() });
        }
        self.prepared = told;
        self
    }

    /// How many faults refuse the configuration.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|fault| fault.severity() == Severity::Error).count()
    }

    /// How many risks it takes.
    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// The line of a fault, from 1; `None` where it is the file as a whole.
    pub fn line(&self, fault: &Diagnostic) -> Option<usize> {
        fault.span.map(|span| line_of(&self.text, span.start))
    }

    /// All faults and warnings with their lines, and a last line that counts them; empty where there are none.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for fault in &self.diagnostics {
            fault.render(&mut out, &self.file, &self.text, color);
            out.push('\n');
        }
        let count = |n: usize, word: &str| match n {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{n} {word}s")),
        };
        let counts: Vec<String> =
            [count(self.errors(), "error"), count(self.warnings(), "warning")].into_iter().flatten().collect();
        if !counts.is_empty() {
            out.push_str(&format!("{}: {}\n", self.file, counts.join(", ")));
        }
        out
    }
}

/// How a configuration is called that a factory reset has moved aside, before the time of that.
pub const ASIDE: &str = ".before-reset-";

/// The latest of them.
fn moved_aside(path: &Path) -> Option<String> {
    let start = format!("{}{ASIDE}", path.file_name()?.to_str()?);
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let latest = names.filter(|name| name.starts_with(&start)).max()?;
    Some(path.with_file_name(latest).display().to_string())
}

fn read(path: &Path) -> Result<String, String> {
    /// A site with a hundred chargers needs a tenth of this.
    const MOST_BYTES: u64 = 1024 * 1024;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("it is larger than {MOST_BYTES} bytes"));
    }
    Ok(text)
}
