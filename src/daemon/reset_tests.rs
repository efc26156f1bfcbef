//! Is everything forgotten, and nothing else, wherever the power goes?

use super::*;
use crate::sessions::FOLDER;
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

const LEASES: &str = "leases";

/// A state folder in which everything has been kept twice, and recordings.
fn lived_in() -> (TempDir, Folder) {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path()).unwrap();
    for name in FORGOTTEN.map(|(name, _)| name).into_iter().chain([LEASES, keep::REQUESTS]) {
        folder.write(name, b"first").unwrap();
        folder.write(name, b"second").unwrap();
    }
    for (directory, file) in [(FOLDER, "00000001.seg"), (FOLDER, "00000002.seg"), ("flight", "flight-00000001.rec")] {
        fs::create_dir_all(place.path().join(directory)).unwrap();
        fs::write(place.path().join(directory).join(file), b"who came when").unwrap();
    }
    (place, folder)
}

fn reset(id: Option<&str>) -> Reset {
    Reset::new("2026-11-22T10:00:00Z".parse().unwrap(), id.map(str::to_owned))
}

fn left(place: &TempDir) -> BTreeSet<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    fs::read_dir(place.path()).unwrap().map(name).collect()
}

fn only(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn all_of_people_goes_and_what_cars_may_have_stays() {
    let (place, folder) = lived_in();
    let flight = place.path().join("flight");
    assert!(finish(&folder, place.path(), Some(&flight)).unwrap().is_empty(), "nobody has asked for it");
    begin(&folder, &reset(None)).unwrap();
    assert_eq!(finish(&folder, place.path(), Some(&flight)).unwrap(), forgotten());
    let kept = ["flight", "leases.a", "leases.b", "requests.a", "requests.b", "reset.a", "reset.b"];
    assert_eq!(left(&place), only(&kept));
    assert_eq!(fs::read_dir(flight).unwrap().count(), 0);
    assert_eq!(folder.read(LEASES).unwrap().as_deref(), Some(&b"second"[..]));
    assert_eq!(take(Some(&folder)).map(|reset| reset.at), Some(reset(None).at));
    assert_eq!(take(Some(&folder)), None, "it is told of once");
    assert!(finish(&folder, place.path(), None).unwrap().is_empty());
}

#[test]
fn wherever_it_is_cut_the_next_one_finishes_it_and_tells_whose_it_was() {
    let files = [
        "policy.a",
        "policy.b",
        "claim.a",
        "claim.b",
        "identity.a",
        "identity.b",
        "rights.a",
        "rights.b",
        "transactions.a",
        "transactions.b",
        "sessions/00000001.seg",
        "sessions/00000002.seg",
        "flight/flight-00000001.rec",
    ];
    for cut in 0..=files.len() {
        let (place, folder) = lived_in();
        begin(&folder, &reset(Some("r-1"))).unwrap();
        files[..cut].iter().for_each(|file| fs::remove_file(place.path().join(file)).unwrap());
        drop(folder);
        let folder = Folder::open(place.path()).unwrap();
        assert_eq!(take(Some(&folder)), None, "not before it is done");
        finish(&folder, place.path(), Some(&place.path().join("flight"))).unwrap();
        assert!(left(&place).is_disjoint(&only(&[
            "policy.a",
            "policy.b",
            "rights.a",
            "transactions.b",
            "identity.a",
            "claim.b",
            FOLDER
        ])));
        assert_eq!(take(Some(&folder)).unwrap().request.as_deref(), Some("r-1"), "cut after {cut}");
    }
}

#[test]
fn what_cannot_be_removed_is_told_and_tried_again() {
    let (place, folder) = lived_in();
    begin(&folder, &reset(None)).unwrap();
    fs::remove_file(place.path().join("rights.b")).unwrap();
    fs::create_dir_all(place.path().join("rights.b/in-the-way")).unwrap();
    assert!(finish(&folder, place.path(), None).is_err());
    fs::remove_dir_all(place.path().join("rights.b")).unwrap();
    assert!(finish(&folder, place.path(), None).unwrap().contains(&FORGOTTEN[5].1));
}
