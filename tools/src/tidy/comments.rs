//! What atomics owe to the reader, and what nobody should find in a comment.

use super::Finding;
use super::source::{Source, find_word};

/// Refuses an ordering without its pairing comment, and leftover markers.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.lines.iter().enumerate() {
        if let Some(marker) = MARKERS.iter().find(|m| find_word(&line.comment, m).is_some()) {
            let message = format!("{marker} in a comment: do it, or open an issue");
            findings.push(Finding::new(source, index, "markers", message));
        }
        if !line.test
            && let Some(message) = unpaired(source, index)
        {
            findings.push(Finding::new(source, index, "pairing", message));
        }
    }
    findings
}

/// What is missing where line `index` uses an ordering that another thread relies on.
fn unpaired(source: &Source, index: usize) -> Option<&'static str> {
    let code = &source.lines[index].code;
    if code.trim_start().starts_with("use ") || code.trim_start().starts_with("pub use ") {
        return None;
    }
    let uses = |word: &str| find_word(code, word).is_some();
    let comment = || source.comment_of(index).to_lowercase();
    if uses("Ordering::SeqCst") || uses("fence(") {
        let said = ["interleaving", "exclude", "otherwise", "pairs with"];
        return (!said.iter().any(|word| comment().contains(word)))
            .then_some("SeqCst and fences say which interleaving they exclude");
    }
    for (ordering, other_end) in ORDERINGS {
        let said = ["pairs with", other_end];
        if uses(ordering) && !said.iter().any(|word| comment().contains(word)) {
            return Some("one line names the other end: `// Pairs with ...`");
        }
    }
    None
}

/// Each ordering, and a word that only the other end would be called by.
const ORDERINGS: &[(&str, &str)] = &[
    ("Ordering::AcqRel", "pairs with"),
    ("Ordering::Acquire", "release"),
    ("Ordering::Release", "acquire"),
];
const MARKERS: &[&str] = &["TODO", "FIXME", "XXX", "HACK", "WIP"];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_rule(text: &str, expected: &[&str]) {
        let findings = check(&Source::new("src/a.rs", text));
        let rules: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, expected);
    }

    #[test]
    fn orderings_name_the_other_end() {
        check_rule("a.store(1, Ordering::Release);", &["pairing"]);
        check_rule("// Pairs with the load in b.\na.store(1, Ordering::Release);", &[]);
        check_rule("a.load(Ordering::Acquire); // pairs with c", &[]);
        check_rule("// Pairs with c.\na\n    .load(\n        Ordering::Acquire,\n    );", &[]);
        check_rule("// Pairs with c.\na();\nb.load(Ordering::Acquire);", &["pairing"]);
        check_rule("// The kernel's acquire load sees it.\na.store(1, Ordering::Release);", &[]);
        check_rule("// Release.\na.store(1, Ordering::Release);", &["pairing"]);
        check_rule("a.load(Ordering::Relaxed);", &[]);
        check_rule("use core::sync::atomic::Ordering::Acquire;", &[]);
    }

    #[test]
    fn fences_say_what_they_exclude() {
        check_rule("// For safety.\nfence(Ordering::SeqCst);", &["pairing"]);
        check_rule("// Excludes: we sleep while the other side believes us awake.\nfence(A);", &[]);
    }

    #[test]
    fn tests_need_no_pairing_but_markers_are_refused_everywhere() {
        check_rule(
            "#[cfg(test)]\nmod tests {\n a.load(Ordering::Acquire); // FIXME\n}",
            &["markers"],
        );
        check_rule("// TODO: later", &["markers"]);
        check_rule("let a = \"TODO\"; // a TODOs list", &[]);
    }
}
