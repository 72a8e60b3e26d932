//! A Rust file as the rules see it: line by line, code apart from comments, tests apart from the
//! rest. This is a lexer for comments and literals only; everything else is left as text.

/// One file.
pub(super) struct Source {
    /// From the root of the repository, with `/`.
    pub(super) path: String,
    pub(super) lines: Vec<Line>,
}

/// One line of a file.
#[derive(Default)]
pub(super) struct Line {
    /// Without comments, and with the insides of string and character literals blanked.
    pub(super) code: String,
    /// The comments alone.
    pub(super) comment: String,
    /// Inside `#[cfg(test)]`, or in a file of tests.
    pub(super) test: bool,
}

impl Source {
    /// Reads `text` as the file `path`.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let mut lines = split(text);
        let in_folder = path.starts_with("tests/") || path.contains("/tests/");
        let all_test = in_folder || path.ends_with("/tests.rs");
        mark_tests(&mut lines, all_test);
        Self { path: path.to_owned(), lines }
    }

    /// The module path of a file of the library: `src/net/ring.rs` is `net::ring`, `src/net/mod.rs`
    /// is `net`, `src/lib.rs` is `lib`, `src/main.rs` is `main`; other packages are `None`.
    pub(super) fn module(&self) -> Option<Vec<&str>> {
        let inner = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let mut parts: Vec<&str> = inner.split('/').collect();
        if parts.len() > 1 && parts.last() == Some(&"mod") {
            parts.pop();
        }
        Some(parts)
    }

    /// Whether the file belongs to the module `prefix` (`http`, `supervisor::state`) or lies in it.
    pub(super) fn is_in(&self, prefix: &str) -> bool {
        let Some(module) = self.module() else { return false };
        let wanted: Vec<&str> = prefix.split("::").collect();
        module.starts_with(&wanted)
    }

    /// The comment that belongs to the statement on line `index`: on the line itself, on the lines
    /// that the statement began on, and the block directly above.
    pub(super) fn comment_of(&self, index: usize) -> String {
        let mut comment = self.lines[index].comment.clone();
        let mut in_block = false;
        for line in self.lines[..index].iter().rev() {
            let code = line.code.trim();
            if code.is_empty() && line.comment.is_empty() {
                break;
            }
            if code.is_empty() || code.starts_with("#[") {
                in_block = true;
                comment.insert_str(0, &format!("{}\n", line.comment));
                continue;
            }
            // A block above belongs to the line below it; a finished statement ends the search.
            if in_block || code.ends_with([';', '{', '}', ',']) {
                break;
            }
            comment.insert_str(0, &format!("{}\n", line.comment));
        }
        comment
    }
}

/// Where the lexer stands between two characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BlockComment { depth: u32 },
    Code,
    LineComment,
    RawString { hashes: usize },
    String,
}

fn split(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut state = State::Code;
    for raw in text.lines() {
        let mut line = Line::default();
        let characters: Vec<char> = raw.chars().collect();
        let mut at = 0;
        while at < characters.len() {
            at += step(&characters, at, &mut state, &mut line);
        }
        if state == State::LineComment {
            state = State::Code;
        }
        lines.push(line);
    }
    lines
}

/// Takes what stands at `at` into `line`; returns how many characters that was.
fn step(characters: &[char], at: usize, state: &mut State, line: &mut Line) -> usize {
    let rest = &characters[at..];
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
    match *state {
        State::LineComment => {
            line.comment.push(rest[0]);
            1
        }
        State::BlockComment { depth } if starts("*/") => {
            *state = match depth {
                1 => State::Code,
                _ => State::BlockComment { depth: depth - 1 },
            };
            2
        }
        State::BlockComment { depth } if starts("/*") => {
            *state = State::BlockComment { depth: depth + 1 };
            2
        }
        State::BlockComment { .. } => {
            line.comment.push(rest[0]);
            1
        }
        State::String if starts("\\") => {
            line.code.push_str("  ");
            2
        }
        State::String if starts("\"") => {
            line.code.push('"');
            *state = State::Code;
            1
        }
        State::RawString { hashes } if starts(&format!("\"{}", "#".repeat(hashes))) => {
            line.code.push('"');
            *state = State::Code;
            1 + hashes
        }
        State::String | State::RawString { .. } => {
            line.code.push(' ');
            1
        }
        State::Code if starts("//") => {
            *state = State::LineComment;
            2
        }
        State::Code if starts("/*") => {
            *state = State::BlockComment { depth: 1 };
            2
        }
        State::Code => code(characters, at, state, line),
    }
}

fn code(characters: &[char], at: usize, state: &mut State, line: &mut Line) -> usize {
    let rest = &characters[at..];
    let word_before = at > 0 && is_word(characters[at - 1]);
    if let Some((skip, hashes)) = raw_string(rest).filter(|_| !word_before) {
        line.code.push('"');
        *state = State::RawString { hashes };
        return skip;
    }
    if rest[0] == '"' {
        *state = State::String;
    }
    if rest[0] == '\''
        && let Some(length) = character_literal(rest)
    {
        line.code.push_str("' '");
        return length;
    }
    line.code.push(rest[0]);
    1
}

/// `r"`, `br#"`, `cr##"` and so on: the length of the opening and the number of hashes.
fn raw_string(rest: &[char]) -> Option<(usize, usize)> {
    let prefix = usize::from(matches!(rest.first(), Some('b' | 'c')));
    if rest.get(prefix) != Some(&'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|&&c| c == '#').count();
    let quote = prefix + 1 + hashes;
    (rest.get(quote) == Some(&'"')).then_some((quote + 1, hashes))
}

/// The length of a character literal; `None` for a lifetime.
fn character_literal(rest: &[char]) -> Option<usize> {
    if rest.get(1) == Some(&'\\') {
        let end = rest.iter().skip(3).position(|&c| c == '\'')?;
        return Some(end + 4);
    }
    (rest.get(2) == Some(&'\'')).then_some(3)
}

/// Whether `character` can stand in an identifier.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `pattern` stands in `code` as a whole: not inside a longer identifier.
pub(super) fn find_word(code: &str, pattern: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = code[from..].find(pattern) {
        let start = from + found;
        let end = start + pattern.len();
        let open = |edge: Option<char>, inner: Option<char>| {
            !(edge.is_some_and(is_word) && inner.is_some_and(is_word))
        };
        if open(code[..start].chars().next_back(), pattern.chars().next())
            && open(code[end..].chars().next(), pattern.chars().next_back())
        {
            return Some(start);
        }
        from = end;
    }
    None
}

/// Marks the items under `#[cfg(test)]`, by the braces that follow it.
fn mark_tests(lines: &mut [Line], all: bool) {
    let mut depth = 0_i32;
    // The depth that the item under `#[cfg(test)]` began at, and whether its brace was seen.
    let mut item: Option<(i32, bool)> = None;
    for line in lines {
        if item.is_none() && is_test_attribute(&line.code) {
            item = Some((depth, false));
        }
        line.test = all || item.is_some();
        for character in line.code.chars() {
            match character {
                '{' => {
                    depth += 1;
                    item = item.map(|(start, _)| (start, true));
                }
                '}' => depth -= 1,
                ';' if item == Some((depth, false)) => item = None,
                _ => {}
            }
            if item.is_some_and(|(start, opened)| opened && depth <= start) {
                item = None;
            }
        }
    }
}

fn is_test_attribute(code: &str) -> bool {
    let code = code.trim();
    code.starts_with("#[cfg(test)]") || code.starts_with("#[cfg(all(test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str, comment: &str) {
        let source = Source::new("src/a.rs", text);
        assert_eq!(source.lines[0].code.trim(), code);
        assert_eq!(source.lines[0].comment.trim(), comment);
    }

    #[test]
    fn literals_and_comments_are_told_apart() {
        check("let a = 1; // one", "let a = 1;", "one");
        check("let a = \"// no\";", "let a = \"     \";", "");
        check("let a = \"\\\"//\";", "let a = \"    \";", "");
        check("let a = r#\"\"//\"#;", "let a = \"   \";", "");
        check("let a = '\"'; // b", "let a = ' ';", "b");
        check("let a = '\\''; // b", "let a = ' ';", "b");
        check("fn a<'a>(b: &'a str) {} // c", "fn a<'a>(b: &'a str) {}", "c");
        check("a(/* b /* c */ d */ e)", "a( e)", "b  c  d");
    }

    #[test]
    fn a_string_may_span_lines() {
        let source = Source::new("src/a.rs", "let a = \"x\n// y\nz\"; // w");
        assert_eq!(source.lines[1].comment, "");
        assert_eq!(source.lines[2].comment.trim(), "w");
    }

    #[test]
    fn test_code_ends_where_its_braces_end() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n\
                    #[cfg(test)]\nmod tests;\nfn d() {}";
        let source = Source::new("src/a.rs", text);
        let marks: Vec<bool> = source.lines.iter().map(|line| line.test).collect();
        assert_eq!(marks, [false, true, true, true, true, false, true, true, false]);
        assert!(Source::new("src/a/tests.rs", "fn a() {}").lines[0].test);
        assert!(Source::new("src/a/tests/b.rs", "fn a() {}").lines[0].test);
        assert!(Source::new("tests/it/main.rs", "fn a() {}").lines[0].test);
    }

    #[test]
    fn words_are_found_whole() {
        assert_eq!(find_word("a.fork()", "fork("), Some(2));
        assert_eq!(find_word("a.myfork()", "fork("), None);
        assert_eq!(find_word("unsafe_code unsafe {", "unsafe"), Some(12));
        assert_eq!(find_word("x.unwrap()", ".unwrap()"), Some(1));
    }

    #[test]
    fn files_know_their_module() {
        let module = |path: &str| Source::new(path, "").module().map(|parts| parts.join("::"));
        assert_eq!(module("src/net/ring.rs").as_deref(), Some("net::ring"));
        assert_eq!(module("src/net/mod.rs").as_deref(), Some("net"));
        assert_eq!(module("src/lib.rs").as_deref(), Some("lib"));
        assert_eq!(module("bench/src/main.rs"), None);
        assert!(Source::new("src/http/h1/mod.rs", "").is_in("http"));
        assert!(!Source::new("src/httpx.rs", "").is_in("http"));
    }
}
