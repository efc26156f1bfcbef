//! Who vouches for the policy? The root keys in the trust file: TOML or JSON, an object `root` of ids and keys.

use super::code;
use super::compile::Place;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Given, Row};
use headroom_policy::Roots;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Far more than a few keys take; a wrong path such as `/dev/zero` ends here.
const MOST_BYTES: u64 = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    root: BTreeMap<String, String>,
}

/// The keys in the file that `trust_file` names. Faulty also where files are not to be read.
pub fn read(row: &Row, place: &Place, faults: &mut Faults) -> Given<Roots> {
    let path = match row.text("trust_file") {
        Given::Is(path) if place.read_secrets => place.path(path),
        Given::Is(_) | Given::Faulty => return Given::Faulty,
        Given::Absent => return Given::Absent,
    };
    match from_file(&path) {
        Ok(roots) => Given::Is(roots),
        Err(why) => {
            let message = format!("the root keys of {} cannot be used", row.who);
            let help =
                format!("{} holds [root] and in it lines such as: key-1 = \"<64 hexadecimal digits>\"", path.display());
            faults.push(Diagnostic::at(code::TRUST, row.at("trust_file"), message).label(why).help(help));
            Given::Faulty
        }
    }
}

fn from_file(path: &Path) -> Result<Roots, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("this file cannot be read: {error}"))?;
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| format!("this file cannot be read: {error}"))?;
    from_text(&text)
}

fn from_text(text: &str) -> Result<Roots, String> {
    let written: Written = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("this file is not right: {error}"))?
    } else {
        toml::from_str(text).map_err(|error| format!("this file is not right: {}", error.message()))?
    };
    Roots::read(&written.root).map_err(|why| format!("this file {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_hexadecimal_and_base64_are_one() {
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let toml = from_text(&format!("# ours\n[root]\n\"drawer 1\" = \"{key}\"\n")).unwrap();
        assert_eq!(from_text(&format!("\n{{\"root\": {{\"drawer 1\": \"{key}\"}}}}")), Ok(toml.clone()));
        let base64 = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(from_text(&format!("root = {{\"drawer 1\" = \"{base64}\"}}")), Ok(toml));
    }

    #[test]
    fn what_holds_no_root_key_is_refused() {
        let key = "ab".repeat(32);
        let nine = (0..9).map(|index| format!("k{index} = \"{key}\"\n"));
        let texts = [
            String::new(),
            "[root]\n".into(),
            "[root]\nk = \"ab\"\n".into(),
            format!("[root]\nk = \"{key}ab\"\n"),
            format!("[root]\nk = \"{}\"\n", "zz".repeat(32)),
            format!("[root]\n\"\" = \"{key}\"\n"),
            format!("[roots]\nk = \"{key}\"\n"),
            format!("[root]\nk = \"{key}\"\n[more]\n"),
            "{\"root\": 1}".into(),
            format!("[root]\n{}", nine.collect::<String>()),
        ];
        for text in texts {
            assert!(from_text(&text).is_err(), "{text}");
        }
    }
}
