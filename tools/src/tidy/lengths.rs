//! The longest functions and files: reported, never refused.

use super::source::{Source, find_word, is_word};

/// Prints what is over the length that is looked at twice.
pub(super) fn report(sources: &[Source]) {
    let mut functions: Vec<(usize, String)> = Vec::new();
    for source in sources {
        for (name, line, length) in long_functions(source) {
            functions.push((length, format!("{}:{line} {name}", source.path)));
        }
        let code = source.lines.iter().filter(|line| !line.test).count();
        if code > FILE_LINES {
            println!("note: {} has {code} lines without its tests", source.path);
        }
    }
    functions.sort();
    for (length, place) in functions.iter().rev().take(REPORTED_MAX) {
        println!("note: {place} has {length} lines");
    }
}

/// Functions over the length: name, line, length.
fn long_functions(source: &Source) -> Vec<(String, usize, usize)> {
    let mut open: Vec<(String, usize, i32)> = Vec::new();
    let mut declared: Option<(String, usize)> = None;
    let mut found = Vec::new();
    let mut depth = 0;
    for (index, line) in source.lines.iter().enumerate() {
        if let Some(at) = find_word(&line.code, "fn") {
            let rest = line.code[at + 2..].trim_start();
            let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
            if !name.is_empty() {
                declared = Some((name, index));
            }
        }
        for character in line.code.chars() {
            match character {
                '{' => {
                    if let Some((name, start)) = declared.take() {
                        open.push((name, start, depth));
                    }
                    depth += 1;
                }
                '}' => {
                    depth -= 1;
                    if let Some((name, start, _)) = open.pop_if(|(_, _, at)| *at == depth) {
                        found.push((name, start + 1, index + 1 - start));
                    }
                }
                // A declaration without a body.
                ';' if declared.as_ref().is_some_and(|(_, start)| *start == index) => {
                    declared = None;
                }
                _ => {}
            }
        }
    }
    found.retain(|(_, _, length)| *length > FUNCTION_LINES);
    found
}

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 800;
const REPORTED_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_functions_are_named() {
        let body = "    b();\n".repeat(80);
        let text = format!("fn short() {{\n    if a {{\n    }}\n}}\nfn long() {{\n{body}}}\n");
        let found = long_functions(&Source::new("src/a.rs", &text));
        assert_eq!(found, [("long".to_owned(), 5, 82)]);
    }
}
