//! What is the installer told of a dead gateway?

use super::{check, codes, small};

#[test]
fn each_circuit_is_told_what_flows_at_worst_if_the_gateway_dies() {
    let charger = |id: &str, more: &str| {
        format!(
            "[[charger]]\nid = \"{id}\"\ncircuit = \"garage\"\nprotocol = \"mqtt\"\ntopic = \"{id}\"\nresponse_s = 6\n{more}\n"
        )
    };
    let home = |house: &str, cars: &[String], more: &str| {
        let text = small(&format!(
            "[[circuit]]\nid = \"garage\"\nparent = \"main\"\nfuse_a = 32\nother_load_a = 4\n{}[mqtt]\nhost = \"localhost\"\n{more}",
            cars.concat()
        ));
        let loaded = check(&text.replace("house_worst_a = 0", house).replace("fuse_a = 63", "fuse_a = 25"));
        assert_eq!(loaded.errors(), 0, "{}", loaded.render(false));
        let codes = codes(&loaded).iter().filter(|code| **code == "W011").count();
        (loaded.notes.clone(), codes)
    };
    let both = [charger("a", "lease_s = 120"), charger("b", "lease_s = 30")];
    let (notes, warnings) = home("house_worst_a = [13, 2, 2]", &both, "");
    assert_eq!(
        notes,
        [
            // What was left of the fuse beside a house that took nothing.
            "main L1: at worst 37.49 A = 1.50 × 25 A for 126 s if this gateway dies; a gG fuse trips after 18 s",
            // 32 A less 0.64 of margin and 4 stated.
            "garage L1: at worst 31.36 A of 32 A if this gateway dies",
        ]
    );
    assert_eq!(warnings, 1);
    // The sun lends more than the fuse.
    let sun = "[[inverter]]\nid = \"sun\"\ndevice = \"sunspec\"\naddress = \"s:502\"\n";
    let (notes, warnings) = home("house_worst_a = [13, 2, 2]", &both, sun);
    assert!(notes[0].starts_with("main L1: at worst 45 A = 1.80 × 25 A for 126 s"), "{notes:?}");
    assert!(notes[1].starts_with("garage L1: at worst 36 A = 1.12 × 32 A for 126 s"), "{notes:?}");
    assert_eq!(warnings, 1, "{notes:?}");
    // One that latches goes on for ever, but fits; of the others none has a lease.
    let (notes, warnings) = home("house_worst_a = 5", &[charger("a", "lapse = \"c\"")], "");
    assert_eq!((notes[0].as_str(), warnings), ("main L1: at worst 21 A of 25 A if this gateway dies", 0));
    // A short lease is over before anything trips.
    let short = [charger("a", "most_a = 20\nlease_s = 13")];
    let (notes, warnings) = home("house_worst_a = 13", &short, "");
    let told = "main L1: at worst 33 A = 1.32 × 25 A for 19 s if this gateway dies; no breaker and no gG fuse trips";
    assert_eq!((notes[0].as_str(), warnings), (told, 0));
}
