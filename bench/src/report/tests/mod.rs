//! The report of runs that were never measured: golden texts, and what every page must be.
//!
//! `COREWISE_GOLDEN=update` writes the golden texts anew; `COREWISE_PAGES=FOLDER` keeps the pages
//! for somebody to look at.

mod baseline;
mod example;
mod progress;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::{html, markdown, markup, terminal, write};
use crate::result::{Run, Window};

fn examples() -> [(&'static str, Run); 5] {
    [
        ("full", example::full()),
        ("tiny", example::tiny()),
        ("crowded", example::crowded()),
        ("broken", example::broken()),
        ("empty", example::empty()),
    ]
}

#[test]
fn pages_are_written_and_read_back() {
    let scratch = tempfile::tempdir().unwrap();
    let kept = env::var_os("COREWISE_PAGES").map(PathBuf::from);
    let root = kept.as_deref().unwrap_or(scratch.path());
    for (name, run) in examples() {
        let written = write(&run, &root.join(name)).unwrap();
        // Numbers may lose their last digit on the way, and the report none of its own.
        let read = super::baseline::read(&written.data).unwrap();
        assert!(markdown::text(&read) == markdown::text(&run), "{name}");
        assert!(fs::read_to_string(written.html).unwrap().ends_with("</html>\n"));
        assert!(fs::read_to_string(written.markdown).unwrap().starts_with("# "));
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&example::tiny(), &file.join("folder")).unwrap_err().to_string();
    assert!(error.contains("cannot be written to") && error.contains("folder"), "{error}");
}

#[test]
fn texts_are_the_golden_ones() {
    for (name, run) in examples() {
        if name != "crowded" {
            golden(&format!("{name}.md"), &markdown::text(&run));
            golden(&format!("{name}.txt"), &terminal::table(&run, 80, false));
        }
    }
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/tests/golden").join(name);
    if env::var("COREWISE_GOLDEN").is_ok_and(|wish| wish == "update") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(text.lines()).find(|(then, now)| then != now);
    assert!(
        expected == text,
        "{name} says something else: {differs:?}; COREWISE_GOLDEN=update writes it again"
    );
}

#[test]
fn tables_fit_the_terminal() {
    for (name, run) in examples() {
        for width in [60, 80, 120] {
            for line in terminal::table(&run, width, false).lines() {
                assert!(line.chars().count() <= width, "{name}: {line}");
            }
        }
    }
}

#[test]
fn pages_are_well_formed_and_fetch_nothing() {
    for (name, run) in examples() {
        let page = html::page(&run);
        check_tags(name, &page);
        for word in ["script", "http:", "https:", "src=", "url(", "@import", " onload="] {
            // Commands may name addresses: as text, and never as what an attribute says.
            let attributes = attributes(&page);
            let found = attributes.iter().find(|text| text.contains(word) && !is_title(text));
            assert!(found.is_none(), "{name}: {word} in {found:?}");
        }
        assert!(!page.contains("<script"), "{name}");
        for subject in &run.subjects {
            assert!(page.contains(&markup::escape(&subject.name)), "{name}: {}", subject.name);
        }
        assert!(!page.contains("NaN") && !page.contains("inf%"), "{name}");
    }
}

#[test]
fn what_is_wrong_is_on_the_page() {
    let page = html::page(&example::full());
    for text in [
        "h2o is missing",
        "apt-get install h2o",
        "lighttpd failed",
        "&lt;b&gt;(server.c.1513)&lt;/b&gt; unknown option &amp; &quot;x&quot;",
        "gunicorn: failed: connect 4,117, timeout 12",
        "others used 14 % of CPU 0",
        "not done: it answers one fixed text and has one process",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn figures_of_a_restless_machine_are_not_to_be_trusted() {
    let mut run = example::full();
    assert!(!markdown::text(&run).contains("not trust"));
    for window in &mut run.windows {
        window.disturbances = vec!["others used 14 % of CPU 0".to_owned()];
    }
    for text in [html::page(&run), markdown::text(&run)] {
        assert!(text.contains("Do not trust these figures: others used the machine in"), "{text}");
    }
}

#[test]
fn the_bare_loop_is_what_the_kernel_allows_only_where_it_holds() {
    let mut run = example::full();
    assert!(markdown::text(&run).contains("times what this kernel allows"));
    run.windows.retain(|window| window.subject != "hyper");
    let text = markdown::text(&run);
    let sentence = text.lines().next().unwrap();
    assert!(sentence.contains("times what the bare loop needs"), "{sentence}");
}

#[test]
fn who_fails_in_a_later_round_is_not_shown_as_if_nothing_was() {
    let mut run = example::full();
    let of = |window: &&mut Window| window.subject == "hyper" && window.column == "plaintext-32";
    let last = run.windows.iter_mut().rfind(of).unwrap();
    last.counts = false;
    last.figures.clear();
    last.disturbances = vec!["failed: it left".to_owned()];
    for text in [html::page(&run), markdown::text(&run)] {
        assert!(text.contains("failed windows 1)"), "{text}");
    }
}

/// Names that are hostile are quoted in tips and labels, where they do nothing.
fn is_title(tag: &str) -> bool {
    tag.contains("title=\"&lt;script") || tag.contains("aria-label=\"")
}

/// The insides of all tags.
fn attributes(page: &str) -> Vec<&str> {
    let behind = page.split('<').skip(1);
    behind.filter_map(|text| text.split_once('>')).map(|(inside, _)| inside).collect()
}

/// Every tag is closed in its order, and every quote within it.
#[track_caller]
fn check_tags(name: &str, page: &str) {
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let mut open: Vec<&str> = Vec::new();
    let all = attributes(before).into_iter().chain(attributes(after));
    for tag in all.filter(|tag| !tag.starts_with('!')) {
        assert!(tag.matches('"').count().is_multiple_of(2), "{name}: <{tag}>");
        if let Some(end) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(end), "{name}: </{end}>");
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap_or_default());
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} are not closed");
}
