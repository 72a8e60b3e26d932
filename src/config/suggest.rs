//! "Did you mean": the known name nearest to what was written.

/// The candidate nearest to `written`, if one is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> Option<&'a str> {
    let candidates = candidates.into_iter();
    let limit = (written.chars().count() / 3).max(1);
    candidates
        .clone()
        .map(|candidate| (distance(written, candidate), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
        .or_else(|| {
            candidates.filter(|known| is_within(known, written)).max_by_key(|known| known.len())
        })
}

/// True when every word of `known` stands in `written`: `max_body_size` means `body`.
fn is_within(known: &str, written: &str) -> bool {
    let [known, written]: [String; 2] = [known, written].map(|word| plain(word).collect());
    known.split('-').all(|word| written.split('-').any(|other| other == word))
}

/// Insertions, deletions and replacements that make one word the other. `_` and case do not
/// count: people write `keep_alive` for `keep-alive`.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = plain(one).collect();
    let other: Vec<char> = plain(other).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

fn plain(word: &str) -> impl Iterator<Item = char> {
    word.chars().map(|char| if char == '_' { '-' } else { char.to_ascii_lowercase() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        let known = ["keep-alive", "headers", "header-bytes", "body", "body-rate", "level"];
        assert_eq!(nearest(written, known), expected, "{written}");
    }

    #[test]
    fn near_names_are_found() {
        check("keepalive", Some("keep-alive"));
        check("keep_alive", Some("keep-alive"));
        check("KEEP-ALIVE", Some("keep-alive"));
        check("header", Some("headers"));
        check("bdy", Some("body"));
        check("body-rat", Some("body-rate"));
        check("lvel", Some("level"));
        check("max_body_size", Some("body"));
        check("max-header-bytes", Some("header-bytes"));
        check("timeout", None);
        check("", None);
        check("x", None);
    }
}
