//! Which of these words was meant? The closest one, if it is close enough to say so.

/// The candidate that `word` is most likely a slip of: few wrong letters, or one is the beginning of the other.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are no slips of ours, and the table grows with the square.
    const MOST_LETTERS: usize = 64;
    let word = word.to_lowercase();
    let letters = word.chars().count();
    if letters == 0 || letters > MOST_LETTERS {
        return None;
    }
    let is_beginning = |a: &str, b: &str| a.len() >= 3 && b.starts_with(a);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MOST_LETTERS)
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(wrong, candidate)| {
            *wrong <= letters.max(3) / 3 || is_beginning(&word, candidate) || is_beginning(candidate, &word)
        })
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with a neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(closest("mian", ["garage", "main"]), Some("main"));
        assert_eq!(closest("falback_a", ["least_a", "fallback_a"]), Some("fallback_a"));
        assert_eq!(closest("Main", ["main"]), Some("main"));
    }

    #[test]
    fn a_forgotten_unit_is_recognised() {
        assert_eq!(closest("fuse", ["fuse_a", "margin_a"]), Some("fuse_a"));
        assert_eq!(closest("chargers", ["circuit", "charger"]), Some("charger"));
    }

    #[test]
    fn another_word_is_not_guessed_at() {
        assert_eq!(closest("colour", ["least_a", "main", "circuit"]), None);
        assert_eq!(closest("", ["a"]), None);
        assert_eq!(closest("x", ["id", "y_is_far"]), None);
    }
}
