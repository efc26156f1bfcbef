//! Which devices do we understand? Register maps as checked data, and the decoding of words to quantities. Pure.
//!
//! `file` reads one TOML file, `map` says what a device file means, `walk` finds SunSpec's models, `decode` turns words
//! into numbers, `reading` puts them in their places. docs/DEVICES.md is the manual of the format.

mod decode;
mod file;
pub mod map;
mod reading;
pub mod walk;

pub use decode::{Decoded, Missing, decode};
pub use map::{Device, Role};
pub use reading::Reading;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The files that are part of the program.
const EMBEDDED: [&str; 3] = [
    include_str!("files/eastron-sdm630.toml"),
    include_str!("files/solaredge.toml"),
    include_str!("files/sunspec.toml"),
];

/// More files than this in one directory are no device files: a wrong path such as `/` is told early.
const FILES_MOST: usize = 500;

/// The largest device file that is read; the largest of ours has 6 kB.
const FILE_BYTES_MOST: u64 = 256 * 1024;

/// All device files, by name.
#[derive(Debug, Clone, Default)]
pub struct Library {
    devices: BTreeMap<String, Arc<Device>>,
}

impl Library {
    /// The embedded files, and those of `dir` (`*.toml`), which go before embedded ones of the same name.
    ///
    /// # Errors
    /// Text for people that names the file: it cannot be read, or says something that is not understood.
    pub fn load(dir: Option<&Path>) -> Result<Library, String> {
        let mut library = Library { devices: BTreeMap::new() };
        for text in EMBEDDED {
            library.add(file::read(text).map_err(|why| format!("built-in device file: {why}"))?);
        }
        let Some(dir) = dir else { return Ok(library) };
        for path in files_of(dir)? {
            let fault = |why: String| format!("device file {}: {why}", path.display());
            let bytes = std::fs::metadata(&path).map_err(|e| fault(e.to_string()))?.len();
            if bytes > FILE_BYTES_MOST {
                return Err(fault(format!("{bytes} bytes are too many; at most {FILE_BYTES_MOST}")));
            }
            let text = std::fs::read_to_string(&path).map_err(|e| fault(e.to_string()))?;
            let device = file::read(&text).map_err(fault)?;
            if path.file_stem().and_then(|stem| stem.to_str()) != Some(device.name.as_str()) {
                return Err(fault(format!("its name is \"{0}\"; call the file {0}.toml", device.name)));
            }
            library.add(device);
        }
        Ok(library)
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<String> {
        self.devices.keys().cloned().collect()
    }

    /// The device file of this name.
    pub fn device(&self, name: &str) -> Option<&Arc<Device>> {
        self.devices.get(name)
    }

    /// How long the device itself takes from one value to the next; zero where its document does not say, or the name
    /// is unknown. A meter's interval is the configured one or this, whichever is longer.
    pub fn refresh(&self, name: &str) -> Duration {
        self.device(name).and_then(|device| device.refresh).unwrap_or_default()
    }

    /// The device file of this name.
    ///
    /// # Errors
    /// Text for people that names the known ones.
    pub fn find(&self, name: &str) -> Result<&Arc<Device>, String> {
        self.device(name).ok_or_else(|| format!("no device file \"{name}\"; there are: {}", self.names().join(", ")))
    }

    fn add(&mut self, device: Device) {
        self.devices.insert(device.name.clone(), Arc::new(device));
    }
}

fn files_of(dir: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let fault = |why: std::io::Error| format!("device directory {}: {why}", dir.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
        if paths.len() > FILES_MOST {
            return Err(format!("device directory {}: more than {FILES_MOST} files", dir.display()));
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_files_are_without_faults() {
        let library = Library::load(None).unwrap();
        assert_eq!(library.names(), ["eastron-sdm630", "solaredge", "sunspec"]);
        for name in library.names() {
            let device = library.find(&name).unwrap();
            assert!(!device.document.is_empty() && !device.revision.is_empty(), "{name}");
        }
        assert!(library.find("eastron").unwrap_err().contains("eastron-sdm630"));
    }

    #[test]
    fn a_file_on_disk_goes_before_the_embedded_one() {
        let dir = tempfile::tempdir().unwrap();
        let text = EMBEDDED[0].replace("title = \"", "refresh_ms = 700\ntitle = \"Mine: ");
        std::fs::write(dir.path().join("eastron-sdm630.toml"), text).unwrap();
        std::fs::write(dir.path().join("README"), "no device file").unwrap();
        let library = Library::load(Some(dir.path())).unwrap();
        assert!(library.find("eastron-sdm630").unwrap().title.starts_with("Mine: "));
        assert_eq!(library.refresh("eastron-sdm630"), Duration::from_millis(700));
        assert_eq!(library.refresh("sunspec"), Duration::ZERO);
    }

    #[test]
    fn a_fault_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.toml"), EMBEDDED[0]).unwrap();
        let why = Library::load(Some(dir.path())).unwrap_err();
        assert!(why.contains("mine.toml") && why.contains("eastron-sdm630"), "{why}");
        std::fs::write(dir.path().join("mine.toml"), "name = 7").unwrap();
        let why = Library::load(Some(dir.path())).unwrap_err();
        assert!(why.contains("mine.toml") && why.contains("line 1"), "{why}");
        assert!(Library::load(Some(Path::new("/nowhere"))).unwrap_err().contains("/nowhere"));
    }
}
