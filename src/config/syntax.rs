//! What is wrong with a file that is not TOML, in the words of somebody who has to correct it. The
//! parser knows where it stopped; what was meant shows in the line.

use std::ops::Range;

use super::file::shown;

/// What is wrong, and what to do about it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Slip {
    /// Lower case, no full stop.
    pub(super) message: String,
    pub(super) help: String,
}

/// Explains what the parser said about the place `span` of `text`.
pub(super) fn explain(text: &str, span: &Range<usize>, said: &str) -> Slip {
    let line = line_at(text, span.start);
    let found = text.get(span.clone()).unwrap_or_default();
    let rest = text.get(span.start..).unwrap_or_default();
    if said == DUPLICATE {
        return twice(line, found);
    }
    // A comment may hold anything.
    if line.split('#').next().is_some_and(|code| code.contains(CURLY_QUOTES)) {
        return slip("curly quotes are no quotes here", "write straight ones: \"...\"");
    }
    if let Some(slip) = without_sign(line) {
        return slip;
    }
    if said.starts_with("string values must be quoted") {
        return if found.trim().is_empty() {
            slip("the value is missing", "write one behind the =, or remove the line")
        } else {
            slip("text stands in quotes", format!("write \"{}\"", shown(found.trim())))
        };
    }
    if ["invalid float", "invalid integer"].iter().any(|number| said.starts_with(number)) {
        return slip("this is no number", "text stands in quotes: \"...\"");
    }
    if said.starts_with("invalid basic string") || said.starts_with("invalid literal string") {
        return slip(
            "the string is not right, or does not end",
            "it ends with \" on its line; a backslash is \\\\, a quote inside \\\"",
        );
    }
    if said.starts_with("unclosed table") {
        return slip("the name of the table is not closed", "write ] behind it");
    }
    if rest.starts_with(',') {
        return slip("nothing may follow the value on its line", "remove the comma");
    }
    slip(said, "write key = value below a [table]; https://toml.io has the rules")
}

/// What is said about a file that was written in another format throughout.
pub(super) fn other_format(text: &str) -> Option<Slip> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let message = if first.starts_with('{') {
        "the file is JSON, not TOML"
    } else if first.ends_with([';', '{']) && !first.contains('=') {
        "the file is not TOML"
    } else {
        return None;
    };
    Some(slip(message, "`corewise init` writes one in TOML"))
}

/// The line on which a byte stands.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn line_at(text: &str, at: usize) -> &str {
    text[line_start(text, at)..].lines().next().unwrap_or_default()
}

/// A line as YAML, nginx and others have it.
fn without_sign(line: &str) -> Option<Slip> {
    let line = line.trim();
    if line.contains('=') || line.starts_with('[') {
        return None;
    }
    if let Some((key, value)) = line.split_once(':') {
        let (key, value) = (shown(key.trim().trim_matches('"')), value.trim());
        let help = if value.is_empty() {
            format!("write [{key}] and its keys below")
        } else {
            // What is escaped for a terminal is not to be copied, but quotes are.
            let value = shown(value.trim_end_matches(',')).replace("\\\"", "\"");
            format!("write {key} = {value}")
        };
        return Some(slip("the file is TOML, which has = where this has a colon", help));
    }
    if line.ends_with([';', '{', '}']) {
        return Some(slip("this is not TOML", "write key = value, below the line [table]"));
    }
    let (key, value) = line.split_once(char::is_whitespace)?;
    let help = format!("write {} = {}", shown(key), shown(value.trim()));
    Some(slip("there is no = between key and value", help))
}

fn twice(line: &str, found: &str) -> Slip {
    let help = if line.trim_start().starts_with('[') {
        format!("write all keys below one [{}]", shown(found))
    } else {
        "keep one of them".to_owned()
    };
    slip(format!("`{}` is there twice", shown(found)), help)
}

fn slip(message: impl Into<String>, help: impl Into<String>) -> Slip {
    Slip { message: message.into(), help: help.into() }
}

/// How the parser calls a key that stands twice in a table.
pub(super) const DUPLICATE: &str = "duplicate key";
/// What word processors and web pages make of quotes.
const CURLY_QUOTES: [char; 6] = ['“', '”', '„', '‘', '’', '«'];

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeTable;

    /// What is said first about a file.
    #[track_caller]
    fn check(text: &str, message: &str, help: &str) {
        let (_, errors) = DeTable::parse_recoverable(text);
        let error = errors.first().expect(text);
        let slip = explain(text, &error.span().unwrap(), error.message());
        assert_eq!((slip.message.as_str(), slip.help.as_str()), (message, help), "{error}");
    }

    #[test]
    fn common_slips_are_named() {
        check("body = 16MiB\n", "text stands in quotes", "write \"16MiB\"");
        let missing = "write one behind the =, or remove the line";
        check("body =\n", "the value is missing", missing);
        check("body = “1”\n", "curly quotes are no quotes here", "write straight ones: \"...\"");
        let number = "text stands in quotes: \"...\"";
        check("listen = [127.0.0.1:8000]\n", "this is no number", number);
        check("a = \"b\",\n", "nothing may follow the value on its line", "remove the comma");
        check("[a]\nb = 1\n[a]\n", "`a` is there twice", "write all keys below one [a]");
        check("[a\nb = 1\n", "the name of the table is not closed", "write ] behind it");
        check("b = 1\nb = 2\n", "`b` is there twice", "keep one of them");
    }

    #[test]
    fn other_formats_are_recognised() {
        let colon = "the file is TOML, which has = where this has a colon";
        check("server:\n  listen: 1\n", colon, "write [server] and its keys below");
        check("listen: \"a:1\",\n", colon, "write listen = \"a:1\"");
        let toml = "write key = value, below the line [table]";
        check("http {\n}\n", "this is not TOML", toml);
        check("workers 4;\n", "this is not TOML", toml);
        check("workers 4\n", "there is no = between key and value", "write workers = 4");
        let message = |text| other_format(text).map(|slip| slip.message);
        assert_eq!(message(" \n{ \"server\": 1 }").unwrap(), "the file is JSON, not TOML");
        assert_eq!(message("# nginx\nworkers auto;\n").unwrap(), "the file is not TOML");
        for toml in ["", "[server]", "a = 1;", "a = {"] {
            assert_eq!(message(toml), None);
        }
    }

    #[test]
    fn the_parser_has_the_last_word() {
        let slip = explain("a = 1 1", &(6..6), "something new");
        assert_eq!(slip.message, "something new");
        assert!(slip.help.contains("toml.io"), "{slip:?}");
        // Places beyond the text, or inside of a character, are no reason to panic.
        for span in [0..0, 9..12, 1..2] {
            explain("ü = 1", &span, "");
        }
    }
}
