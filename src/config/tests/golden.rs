//! Wrong settings, and what is said about each of them, as people see it.
//!
//! `wrong.txt` has a case after each `=== title`. Its parts begin with `--- `: files by their
//! names, the environment and flags as lines `NAME=VALUE`, and last what is said. With
//! `COREWISE_GOLDEN=update` the last part is written anew.

use std::fs;
use std::path::Path;

use super::fixtures::updates_golden;
use super::machine;
use crate::config::options;
use crate::config::{Config, Notice, Settings, Sources};

struct Case<'a> {
    title: &'a str,
    parts: Vec<(&'a str, &'a str)>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let cases = text.split("\n=== ").skip(1).map(|case| {
        let mut parts =
            case.split("\n--- ").map(|part| part.split_once('\n').unwrap_or((part, "")));
        let (title, _) = parts.next().unwrap();
        Case { title, parts: parts.collect() }
    });
    cases.collect()
}

/// What is said about a case.
fn said(case: &Case<'_>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("corewise.toml");
    let mut sources = Sources { file: Some(file.clone()), ..Sources::default() };
    fs::write(&file, "").unwrap();
    for (part, text) in &case.parts {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
        match *part {
            "says" => {}
            "environment" => sources.environment = lines.collect(),
            "flags" => sources.flags = lines.map(|(key, value)| (flag(&key), value)).collect(),
            path => write(&folder.path().join(path), text),
        }
    }
    let (settings, mut faults) = Settings::gather(&sources);
    let config = Config::resolve(&settings, &machine(), &mut faults);
    // What is said about every pool is not said again in every case.
    let is_special = |notice: &&Notice| notice.fault.label.is_empty();
    let notices = config.notices.iter().filter(is_special);
    let mut said: Vec<String> = notices.map(|notice| notice.render(false)).collect();
    said.extend((!faults.0.is_empty()).then(|| faults.render(false)));
    let said = said.join("\n\n").replace(&format!("{}/", folder.path().display()), "");
    // Nobody wants blanks at the end of a line in a file that is edited.
    said.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn flag(key: &str) -> options::Id {
    options::all().find(|def| def.key() == key).unwrap_or_else(|| panic!("no option {key}")).id
}

#[test]
fn wrong_settings_are_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/wrong.txt");
    let text = fs::read_to_string(&path).unwrap();
    let cases = cases(&text);
    assert!(cases.len() >= 40);
    if updates_golden() {
        let mut updated = text[..text.find("\n=== ").unwrap()].to_owned();
        for case in &cases {
            updated += &format!("\n=== {}\n", case.title);
            for (part, text) in case.parts.iter().filter(|(part, _)| *part != "says") {
                updated += &format!("--- {part}\n{}\n", text.trim_end());
            }
            updated += &format!("--- says\n{}", said(case));
        }
        fs::write(&path, updated).unwrap();
        return;
    }
    for case in &cases {
        let (_, expected) = case.parts.iter().find(|(part, _)| *part == "says").unwrap();
        let said = said(case);
        assert!(!said.is_empty(), "{}: nothing is said", case.title);
        assert_eq!(said.trim_end(), expected.trim_end(), "{}", case.title);
    }
}
