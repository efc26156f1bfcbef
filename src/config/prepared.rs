//! What was prepared off the site, and what of it holds here? The installer's file wins key by key; what it does not say may
//! come from a preconfiguration.

use toml::{Table, Value};

/// What may be prepared: the site and its devices, and who may charge without a cloud. Whom to believe, where to listen and what
/// to read is said on the site alone.
const SECTIONS: [&str; 6] = ["site", "circuit", "meter", "inverter", "charger", "policy"];

/// Keys that name files and folders of this machine.
const LOCAL: [&str; 3] = ["state_dir", "device_dir", "password_file"];

/// Values that no message shows.
const SECRET: [&str; 2] = ["password", "token"];

/// Both in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The text to compile.
    pub text: String,
    /// Keys that both have, with other values; the file's holds. For people.
    pub conflicts: Vec<String>,
    /// What is prepared and may not be. For people.
    pub not_taken: Vec<String>,
}

/// The file over what was prepared. Tables are merged key by key, those in lists by their `id`.
///
/// # Errors
/// One of the two is not TOML.
pub fn merge(file: &str, prepared: &str) -> Result<Merged, String> {
    let ours: Table = file.parse().map_err(|_| "the configuration is not TOML".to_owned())?;
    let mut theirs: Table =
        prepared.parse().map_err(|error: toml::de::Error| format!("it is not TOML: {}", error.message()))?;
    let mut merged = Merged { text: String::new(), conflicts: Vec::new(), not_taken: Vec::new() };
    theirs.retain(|name, _| {
        let may = SECTIONS.contains(&name);
        if !may {
            merged.not_taken.push(format!("[{name}]"));
        }
        may
    });
    for (name, section) in theirs.iter_mut() {
        forget_local(name, section, &mut merged.not_taken);
    }
    over(&mut theirs, ours, "", &mut merged.conflicts);
    merged.text = toml::to_string(&theirs).map_err(|error| error.to_string())?;
    Ok(merged)
}

/// What is prepared has no word on the files of this machine.
fn forget_local(path: &str, value: &mut Value, not_taken: &mut Vec<String>) {
    match value {
        Value::Table(table) => table.retain(|name, _| {
            let is_local = LOCAL.contains(&name);
            if is_local {
                not_taken.push(format!("{path}.{name}"));
            }
            !is_local
        }),
        Value::Array(list) => list.iter_mut().for_each(|item| forget_local(path, item, not_taken)),
        _ => {}
    }
}

/// Lays a table over another one.
fn over(below: &mut Table, above: Table, path: &str, conflicts: &mut Vec<String>) {
    for (name, value) in above {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (below.get_mut(&name), value) {
            (Some(Value::Table(theirs)), Value::Table(ours)) => over(theirs, ours, &place, conflicts),
            (Some(Value::Array(theirs)), Value::Array(ours)) if are_named(theirs) && are_named(&ours) => {
                let mut prepared = std::mem::take(theirs);
                for item in ours {
                    let same = prepared.iter().position(|other| id(other) == id(&item));
                    let who = format!("{place} \"{}\"", id(&item).unwrap_or_default());
                    match (same.map(|at| prepared.remove(at)), item) {
                        (Some(Value::Table(mut row)), Value::Table(ours)) => {
                            over(&mut row, ours, &who, conflicts);
                            theirs.push(Value::Table(row));
                        }
                        (_, item) => theirs.push(item),
                    }
                }
                theirs.append(&mut prepared);
            }
            (Some(theirs), ours) => {
                if *theirs != ours {
                    let is_secret = SECRET.contains(&name.as_str());
                    let shown = |value: &Value| if is_secret { "***".to_owned() } else { value.to_string() };
                    conflicts.push(format!("{place}: the file says {}, prepared is {}", shown(&ours), shown(theirs)));
                }
                *theirs = ours;
            }
            (None, ours) => {
                below.insert(name, ours);
            }
        }
    }
}

fn id(item: &Value) -> Option<&str> {
    item.get("id")?.as_str()
}

fn are_named(list: &[Value]) -> bool {
    list.iter().all(|item| id(item).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn the_file_wins_key_by_key_and_what_it_does_not_say_is_as_prepared() {
        let file =
            "[site]\nid = 'home'\n[[circuit]]\nid = 'main'\nfuse_a = 25\n[[charger]]\nid = 'left'\nmost_a = 16\n";
        let prepared = "[site]\nid = 'haus'\nwiring = 'star'\n[[circuit]]\nid = 'main'\nfuse_a = 35\nmargin_a = 2\n\
                        [[charger]]\nid = 'right'\nmost_a = 32\n[[charger]]\nid = 'left'\nmost_a = 16\nlease_s = 60\n";
        let merged = merge(file, prepared).unwrap();
        let wanted = "[site]\nid = 'home'\nwiring = 'star'\n[[circuit]]\nid = 'main'\nfuse_a = 25\nmargin_a = 2\n\
                      [[charger]]\nid = 'left'\nmost_a = 16\nlease_s = 60\n[[charger]]\nid = 'right'\nmost_a = 32\n";
        assert_eq!(table(&merged.text), table(wanted));
        let told = [
            "circuit \"main\".fuse_a: the file says 25, prepared is 35",
            "site.id: the file says \"home\", prepared is \"haus\"",
        ];
        assert_eq!(merged.conflicts, told);
        assert_eq!(merged.not_taken, [""; 0]);
    }

    #[test]
    fn whom_to_believe_where_to_listen_and_what_to_read_is_not_prepared() {
        let file = "[site]\nid = 'home'\n[cloud]\nurl = 'https://a'\n";
        let prepared = "[cloud]\nallow_unsigned = true\nmay_reset = true\n[ocpp]\nallow_unauthenticated = true\n\
                        [site]\nstate_dir = '/tmp'\n[[charger]]\nid = 'left'\npassword_file = '/etc/shadow'\n";
        let merged = merge(file, prepared).unwrap();
        assert_eq!(
            table(&merged.text),
            table("[site]\nid = 'home'\n[cloud]\nurl = 'https://a'\n[[charger]]\nid = 'left'\n")
        );
        assert_eq!(merged.not_taken, ["[cloud]", "[ocpp]", "charger.password_file", "site.state_dir"]);
    }

    #[test]
    fn no_message_shows_a_secret() {
        let row = |password: &str| format!("[[charger]]\nid = 'left'\npassword = '{password}'\n");
        let merged = merge(&row("one secret"), &row("another one")).unwrap();
        assert!(merged.text.contains("one secret"));
        assert_eq!(merged.conflicts, ["charger \"left\".password: the file says ***, prepared is ***"]);
    }

    #[test]
    fn a_list_without_ids_is_the_file_s_as_a_whole_and_what_is_no_toml_is_refused() {
        let file = "[[circuit]]\nid = 'main'\nfuse_a = [25, 25, 20]\n[[meter]]\ndevice = 'x'\n";
        let merged = merge(file, "[[circuit]]\nid = 'main'\nfuse_a = 35\n[[meter]]\nid = 'grid'\n").unwrap();
        assert_eq!(table(&merged.text), table(file));
        assert_eq!(merged.conflicts.len(), 2);
        assert!(merge(file, "[[circuit").is_err() && merge("[[circuit", "").is_err());
    }
}
