//! Generated pages: each is a path and the function that writes it.

use std::io;
use std::path::Path;

use corewise::cli::{reference, schema};

/// A page that nobody edits by hand.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    /// Where it lies, from the root of the repository.
    pub(crate) path: &'static str,
    /// Its text, from the same table that the program uses.
    pub(crate) generate: fn() -> String,
}

/// The pages that differ from what would be generated now.
pub(crate) fn check(root: &Path) -> io::Result<Vec<Page>> {
    stale(root, PAGES)
}

/// Writes every page.
pub(crate) fn update(root: &Path) -> io::Result<()> {
    write(root, PAGES)
}

fn stale(root: &Path, pages: &[Page]) -> io::Result<Vec<Page>> {
    let mut stale = Vec::new();
    for page in pages {
        let current = match std::fs::read_to_string(root.join(page.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        if current.as_deref() != Some((page.generate)().as_str()) {
            stale.push(*page);
        }
    }
    Ok(stale)
}

fn write(root: &Path, pages: &[Page]) -> io::Result<()> {
    for page in pages {
        let path = root.join(page.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, (page.generate)())?;
    }
    Ok(())
}

/// The table: a page exists by having a line here.
const PAGES: &[Page] = &[
    Page { path: "docs/codes.md", generate: reference::codes },
    Page { path: "docs/configuration.md", generate: reference::configuration },
    Page { path: "docs/corewise.schema.json", generate: schema::schema },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_stale_until_it_is_written_and_again_once_it_is_edited() {
        let root = std::env::temp_dir().join(format!("corewise-docs-{}", std::process::id()));
        let pages = [Page { path: "docs/numbers.md", generate: || "one\n".to_owned() }];
        assert_eq!(stale(&root, &pages).unwrap().len(), 1, "absent");
        write(&root, &pages).unwrap();
        assert_eq!(stale(&root, &pages).unwrap().len(), 0, "written");
        std::fs::write(root.join("docs/numbers.md"), "two\n").unwrap();
        assert_eq!(stale(&root, &pages).unwrap().len(), 1, "edited");
        std::fs::remove_dir_all(root).unwrap();
    }
}
