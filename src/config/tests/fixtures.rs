//! The machines of `tests/machines`, and texts that are kept in files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::config::Machine;
use crate::config::cpus::parse_list;

/// Where the machines are, and what is said about them.
pub(crate) fn machines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines")
}

/// The names of all machines, ascending.
pub(crate) fn names() -> Vec<String> {
    let files = fs::read_dir(machines()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = files.filter_map(|name| Some(name.to_str()?.strip_suffix(".files")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert!(names.len() >= 15, "{names:?}");
    names
}

/// Writes the files that `NAME.files` lists, and reads the machine from them.
///
/// A line is `path = content`; lines of the same path follow each other in the file. A part of
/// the path like `cpu[0-3]` stands for each of these CPUs, and the content `*` for that list.
pub(crate) fn machine(name: &str) -> Machine {
    let root = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(machines().join(format!("{name}.files"))).unwrap();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (path, content) = line.split_once(" = ").unwrap();
        for (path, content) in expand(path, content) {
            let file = files.entry(path).or_default();
            file.push_str(&content);
            file.push('\n');
        }
    }
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    Machine::read_below(root.path())
}

fn expand(path: &str, content: &str) -> Vec<(String, String)> {
    let Some((before, rest)) = path.split_once('[') else {
        return vec![(path.to_owned(), content.to_owned())];
    };
    let (list, after) = rest.split_once(']').unwrap();
    let content = if content == "*" { list } else { content };
    let cpus = parse_list(list).unwrap();
    cpus.iter().map(|cpu| (format!("{before}{cpu}{after}"), content.to_owned())).collect()
}

/// Whether golden texts are to be written anew instead of compared: `COREWISE_GOLDEN=update`.
pub(crate) fn updates_golden() -> bool {
    env::var("COREWISE_GOLDEN").is_ok_and(|wish| wish == "update")
}

/// Compares a text with the one in a file.
#[track_caller]
pub(crate) fn expect_golden(path: &Path, text: &str) {
    if updates_golden() {
        return fs::write(path, text).unwrap();
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    let differs = text.lines().zip(golden.lines()).find(|(line, golden)| line != golden);
    let path = path.display();
    assert!(
        text == golden,
        "{path} says something else: {differs:?}; COREWISE_GOLDEN=update writes it again\n{text}"
    );
}
