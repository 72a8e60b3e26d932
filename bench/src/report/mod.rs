//! What a run says, for people: a page, a text for a pull request, and the terminal.
//!
//! Nothing here measures, and nothing here computes: figures come from `statistics`, and what all
//! forms say in common from `finding`.

pub(crate) mod baseline;
mod chart;
mod figure;
mod finding;
mod html;
mod markdown;
mod markup;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::markup::escape;
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
    let run = with_numbers_only(run);
    let in_folder = |error| context(folder, "the report cannot be written to", error);
    fs::create_dir_all(folder).map_err(in_folder)?;
    let file = |name: &str, text: String| -> io::Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| context(&path, "cannot write", error))?;
        Ok(path)
    };
    // The data first: everything else can be made from it again.
    Ok(Written {
        data: file("data.json", serde_json::to_string_pretty(&*run)? + "\n")?,
        html: file("report.html", html::page(&run))?,
        markdown: file("report.md", markdown::text(&run))?,
    })
}

/// JSON has no word for what is no number. Such a figure is taken out, and its window says so.
fn with_numbers_only(run: &Run) -> Cow<'_, Run> {
    let odd = |figure: &f64| !figure.is_finite();
    let is_odd = |window: &crate::result::Window| {
        window.figures.values().any(odd)
            || window.percentiles.iter().any(|(at, value)| odd(at) || odd(value))
    };
    if !run.windows.iter().any(is_odd) {
        return Cow::Borrowed(run);
    }
    let mut run = run.clone();
    for window in run.windows.iter_mut().filter(|window| is_odd(window)) {
        for (quantity, figure) in &window.figures {
            if odd(figure) {
                let what = format!("{} was no number: {figure}", quantity.title());
                window.disturbances.push(what);
            }
        }
        window.figures.retain(|_, figure| !odd(figure));
        window.percentiles.retain(|(at, value)| !odd(at) && !odd(value));
    }
    Cow::Owned(run)
}

/// Puts formatted text behind what is there.
fn put(text: &mut String, what: fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(what);
}

fn context(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}
