//! Commands and configurations as they are written: words, quotes, and `{placeholders}`.

use std::collections::BTreeMap;

/// What stands for each placeholder.
pub(super) type Values = BTreeMap<&'static str, String>;

/// Splits a command into words; quotes hold blanks together.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("{text:?} has a {open} that nothing closes")),
        None => Ok(words),
    }
}

/// Puts the values in. A value is never looked at again, whatever it holds.
pub(super) fn expand(text: &str, values: &Values) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, name, behind)) = next_placeholder(rest) {
        expanded.push_str(before);
        // `check` has refused every other name.
        expanded.push_str(values.get(name).map_or("", String::as_str));
        rest = behind;
    }
    expanded + rest
}

/// Refuses placeholders that nobody fills.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, name, behind)) = next_placeholder(rest) {
        if !PLACEHOLDERS.contains(&name) {
            let known = PLACEHOLDERS.join("}, {");
            return Err(format!("no placeholder {{{name}}}; there are {{{known}}}"));
        }
        rest = behind;
    }
    Ok(())
}

/// The text before the next `{word}`, the word, and the text behind it. Braces around anything
/// else, as configurations have them, are text.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in text.match_indices('{') {
        let Some((name, behind)) = text[at + 1..].split_once('}') else { continue };
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()) {
            return Some((&text[..at], name, behind));
        }
    }
    None
}

/// Everything that a description may leave to the run.
const PLACEHOLDERS: &[&str] = &["config", "cpu", "cpus", "folder", "port", "root", "upstream"];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_words(text: &str, expected: &[&str]) {
        assert_eq!(words(text).unwrap(), expected);
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        check_words("", &[]);
        check_words("  a\tb \n c ", &["a", "b", "c"]);
        check_words("-c 'a b' \"it's\" x'y z'", &["-c", "a b", "it's", "xy z"]);
        check_words("-n '' end", &["-n", "", "end"]);
        assert!(words("sh -c 'a").unwrap_err().contains("nothing closes"));
    }

    #[test]
    fn placeholders_are_filled_once() {
        let values = Values::from([("port", "80".to_owned()), ("root", "/{port}".to_owned())]);
        assert_eq!(expand("{port}: {root}/{port}", &values), "80: /{port}/80");
        assert_eq!(expand("http { listen {port}; }", &values), "http { listen 80; }");
        assert_eq!(expand("{ {} {A} {port", &values), "{ {} {A} {port");
    }

    #[test]
    fn unknown_placeholders_are_refused() {
        assert_eq!(check("location / { return 200; } {port}"), Ok(()));
        assert!(check("{prot}").unwrap_err().contains("{port}"));
    }
}
