//! Unknown names in configuration files, and the known one that was probably meant.

/// The known name nearest to `name`, if one is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let reach = (name.chars().count() / 3).max(2);
    let ranked = known.into_iter().map(|candidate| (distance(name, candidate), candidate));
    ranked.filter(|(distance, _)| *distance <= reach).min().map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements of characters that lead from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (removed, have) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = removed + 1;
        for (column, want) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(have != *want);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_character_edits() {
        for (from, to, edits) in [("", "abc", 3), ("abc", "", 3), ("window", "windows", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), edits);
            assert_eq!(distance(to, from), edits);
        }
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_foreign_one_none() {
        let known = ["window", "drift_ms", "max_proposal_bytes"];
        assert_eq!(nearest("windwo", known), Some("window"));
        assert_eq!(nearest("max_proposal_byte", known), Some("max_proposal_bytes"));
        assert_eq!(nearest("colour", known), None);
    }
}
