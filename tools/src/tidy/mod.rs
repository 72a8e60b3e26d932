//! The rules of the code base that no linter has.
//!
//! Each rule is a function from a file (or the whole repository) to findings, and has tests which
//! show that it bites. What a rule allows stands in a table at the top or the end of its file.

mod arrows;
mod calls;
mod comments;
mod lengths;
mod licences;
mod source;
mod text;
mod unsafety;

use std::fs;
use std::io;
use std::path::Path;

use self::source::Source;
use crate::docs;

/// One broken rule.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    /// Counted from one; 0 when the file as a whole is meant.
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(source: &Source, index: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: source.path.clone(), line: index + 1, rule, message: message.into() }
    }

    fn of_file(path: &str, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, rule, message: message.into() }
    }
}

/// Checks everything under `root` and prints what it finds; true when nothing is broken.
pub(crate) fn run(root: &Path) -> io::Result<bool> {
    let mut findings = Vec::new();
    let sources = read_sources(root)?;
    for source in &sources {
        findings.extend(arrows::check(source));
        findings.extend(calls::check(source));
        findings.extend(comments::check(source));
        findings.extend(unsafety::check(source));
    }
    for (path, text) in read_texts(root)? {
        findings.extend(text::check(&path, &text));
    }
    findings.extend(licences::check(root)?);
    for page in docs::check(root)? {
        let message = "stale; run `corewise-tools docs --update`";
        findings.push(Finding::of_file(page.path, "docs", message));
    }
    lengths::report(&sources);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for finding in &findings {
        println!("{}:{}: {}: {}", finding.path, finding.line, finding.rule, finding.message);
    }
    println!("tidy: {} files, {} findings", sources.len(), findings.len());
    Ok(findings.is_empty())
}

fn read_sources(root: &Path) -> io::Result<Vec<Source>> {
    let texts = read_texts(root)?;
    let rust = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
    Ok(rust.map(|(path, text)| Source::new(path, text)).collect())
}

/// Every file that people write, with its path from the root.
fn read_texts(root: &Path) -> io::Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            if WRITTEN.contains(&name.as_str()) || WRITTEN_EXTENSIONS.contains(&&*extension) {
                let below = path.strip_prefix(root).expect("the walk began at the root");
                texts.push((below.to_string_lossy().into_owned(), fs::read_to_string(&path)?));
            }
        }
    }
    texts.sort();
    Ok(texts)
}

const SKIPPED_FOLDERS: &[&str] = &[".git", "target", "results", "out", "corpus", "node_modules"];
const WRITTEN_EXTENSIONS: &[&str] = &["lua", "md", "py", "rs", "sh", "toml", "yml"];
const WRITTEN: &[&str] = &["Makefile", "run", "setup"];
