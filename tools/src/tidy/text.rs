//! Rules for every written file, whatever its language.

use super::Finding;

/// Refuses long lines of code, trailing blanks, tabs in Rust and what a merge left behind.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |index: usize, rule, message: String| {
        findings.push(Finding { path: path.to_owned(), line: index + 1, rule, message });
    };
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if is_code(path) && columns > COLUMNS_MAX {
            add(index, "columns", format!("{columns} columns; at most {COLUMNS_MAX}"));
        }
        if CONFLICTS.iter().any(|mark| line.starts_with(mark)) {
            add(index, "markers", "a merge conflict was left behind".to_owned());
        }
        if line.ends_with([' ', '\t']) {
            add(index, "blanks", "blanks at the end of the line".to_owned());
        }
    }
    findings
}

/// Tables of prose and of dependencies may be wide; code and scripts may not.
fn is_code(path: &str) -> bool {
    !(path.ends_with(".md") || path.ends_with(".toml") || path.ends_with(".yml"))
}

const COLUMNS_MAX: usize = 100;
const CONFLICTS: &[&str] = &["<<<<<<< ", ">>>>>>> "];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let rules: Vec<&str> = check(path, text).iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, expected);
    }

    #[test]
    fn lines_end_in_time_and_without_blanks() {
        check_text("src/a.rs", &"x".repeat(100), &[]);
        check_text("src/a.rs", &"x".repeat(101), &["columns"]);
        check_text("src/a.rs", &"ä".repeat(100), &[]);
        check_text("README.md", &"x".repeat(101), &[]);
        check_text("README.md", "a \nb\t", &["blanks", "blanks"]);
    }

    #[test]
    fn merges_are_finished() {
        check_text("Makefile", &format!("{} main\na\n", "<".repeat(7)), &["markers"]);
    }
}
