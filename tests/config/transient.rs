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
            "main L1: at worst 37.49 A = 1.50 × 25 A for 126 s if this gateway dies; a gG fuse trips after 19 s",
            // 32 A less 0.64 of margin and 4 stated.
            "garage L1: at worst 31.36 A of 32 A if this gateway dies",
        ]
    );
    assert_eq!(warnings, 1);
    // The sun lends more than the fuse: even the slowest breaker trips, which is told in place of the quickest.
    let sun = "[[inverter]]\nid = \"sun\"\ndevice = \"sunspec\"\naddress = \"s:502\"\n";
    let (notes, warnings) = home("house_worst_a = [13, 2, 2]", &both, sun);
    assert_eq!(
        notes,
        [
            "main L1: at worst 45 A = 1.80 × 25 A for 126 s if this gateway dies; a gG fuse trips after 9 s, any breaker after 104 s",
            "garage L1: at worst 36 A = 1.12 × 32 A for 126 s if this gateway dies; no breaker and no gG fuse trips",
        ]
    );
    assert_eq!(warnings, 0);
    // One that latches goes on for ever, but fits; of the others none has a lease.
    let (notes, warnings) = home("house_worst_a = 5", &[charger("a", "lapse = \"c\"")], "");
    assert_eq!((notes[0].as_str(), warnings), ("main L1: at worst 21 A of 25 A if this gateway dies", 0));
    // A short lease is over before anything trips.
    let short = [charger("a", "most_a = 20\nlease_s = 13")];
    let (notes, warnings) = home("house_worst_a = 13", &short, "");
    let told = "main L1: at worst 33 A = 1.32 × 25 A for 19 s if this gateway dies; no breaker and no gG fuse trips";
    assert_eq!((notes[0].as_str(), warnings), (told, 0));
}

/// A dead gateway does not keep people from plugging in.
#[test]
fn a_car_that_comes_while_the_gateway_is_dead_takes_its_fallback_beside_those_that_were_given_all() {
    let told = |cars: &[(&str, &str)]| {
        let charger = |(id, more): &(&str, &str)| {
            format!(
                "[[charger]]\nid = \"{id}\"\ncircuit = \"garage\"\nprotocol = \"mqtt\"\ntopic = \"{id}\"\nlease_s = 600\n{more}\n"
            )
        };
        let cars: String = cars.iter().map(charger).collect();
        let garage = "[[circuit]]\nid = \"garage\"\nparent = \"main\"\nfuse_a = 20\nmargin_a = 0\nother_load_a = 0\n";
        let loaded = check(&small(&format!("{garage}{cars}[mqtt]\nhost = \"localhost\"\n")));
        assert_eq!(loaded.errors(), 0, "{}", loaded.render(false));
        (loaded.notes[1].clone(), loaded.render(false).matches("W011").count())
    };
    let sum = |told: &str| told.split(" A").next().unwrap_or_default().to_owned();
    let (full, waits) = ("most_a = 16", "most_a = 16\nfallback_a = 0");
    // One at 16 A, the other comes; both together had 20 A at most.
    let (two, warnings) = told(&[("a", full), ("b", full)]);
    assert_eq!((sum(&two), warnings), ("garage L1: at worst 22".to_owned(), 0), "{two}");
    // One has 16 A and two come; two that had 20 A together leave it at 26 A, which a breaker may not carry so long.
    let (three, warnings) = told(&[("a", full), ("b", full), ("c", full)]);
    assert_eq!((sum(&three), warnings), ("garage L1: at worst 28".to_owned(), 1), "{three}");
    // Who waits without us adds nothing when he comes.
    let (none, _) = told(&[("a", waits), ("b", waits), ("c", waits)]);
    assert_eq!(sum(&none), "garage L1: at worst 20", "{none}");
    // One that needs no lease takes its most, then as ever.
    let (latched, _) = told(&[("a", full), ("c", "most_a = 6\nlapse = \"c\"")]);
    assert_eq!(sum(&latched), "garage L1: at worst 22", "{latched}");
}

#[test]
fn a_lease_that_outlasts_the_slowest_breaker_is_told_with_the_one_that_does_not() {
    let told = |lease: u32, response: u32| {
        let charger = format!(
            "[[charger]]\nid = \"a\"\ncircuit = \"main\"\nprotocol = \"mqtt\"\ntopic = \"a\"\nmost_a = 32\nlease_s = {lease}\nresponse_s = {response}\n"
        );
        let text = small(&format!("{charger}[mqtt]\nhost = \"localhost\"\n"));
        let loaded =
            check(&text.replace("house_worst_a = 0", "house_worst_a = 19").replace("fuse_a = 63", "fuse_a = 25"));
        assert_eq!(loaded.errors(), 0, "{}", loaded.render(false));
        (codes(&loaded), loaded.render(false))
    };
    let (codes, words) = told(600, 6);
    assert_eq!(codes.iter().filter(|code| **code == "W014").count(), 1, "{words}");
    assert!(words.contains("the slowest after 120 s"), "{words}");
    assert!(words.contains("lease_s = 114 or less there keeps the slowest in"), "{words}");
    assert!(!told(114, 6).0.contains(&"W014"));
    assert!(told(115, 6).0.contains(&"W014"));
    // Less than two responses is no lease.
    assert!(told(101, 50).1.contains("no lease is short enough"));
}
