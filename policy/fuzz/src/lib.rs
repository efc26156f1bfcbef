//! What does fuzzing begin with? Good documents, written to a target's corpus.

use std::fs;
use std::path::Path;

/// Writes the seeds for this target, which is run in `policy/`; those that are there already are the same.
pub fn sow(target: &str) {
    let corpus = Path::new("fuzz/corpus").join(target);
    let written = fs::create_dir_all(&corpus).and_then(|()| {
        let mut seeds = headroom_policy::fuzz::seeds().into_iter().enumerate();
        seeds.try_for_each(|(index, seed)| fs::write(corpus.join(format!("seed-{index}")), seed))
    });
    written.unwrap_or_else(|fault| panic!("{}: {fault}", corpus.display()));
}
