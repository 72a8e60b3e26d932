//! Files to be served: what every subject has in its root. Answers are compared with them, byte by
//! byte, before and after each window.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::open::Random;

/// A file of the root, served as `/file/{name}`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Served {
    name: &'static str,
    bytes: usize,
}

/// In the order of the report.
const FILES: [Served; 3] = [
    Served { name: "1k", bytes: 1 << 10 },
    Served { name: "100k", bytes: 100 << 10 },
    Served { name: "10m", bytes: 10 << 20 },
];

impl Served {
    /// The same bytes in every run; nothing that compresses could make them shorter.
    fn content(self) -> Vec<u8> {
        let mut random = Random::new(self.bytes as u64);
        let words = (0..self.bytes.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
        words.take(self.bytes).collect()
    }
}

/// Makes a root with all files in `folder`. Whoever serves may be another user, so everybody may
/// read them.
pub(crate) fn make(folder: &Path) -> io::Result<PathBuf> {
    let root = folder.join("root");
    let named =
        |error: io::Error, path: &Path| io::Error::new(error.kind(), format!("{path:?}: {error}"));
    fs::create_dir_all(&root).map_err(|error| named(error, &root))?;
    for served in FILES {
        let path = root.join(served.name);
        let write = || -> io::Result<()> {
            File::create(&path)?.write_all(&served.content())?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))
        };
        write().map_err(|error| named(error, &path))?;
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_for_everybody_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = make(folder.path()).unwrap();
        for served in FILES {
            let path = root.join(served.name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
            let content = fs::read(&path).unwrap();
            assert!(content.len() == served.bytes && content == served.content());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let error = make(Path::new("/proc/nothing")).unwrap_err();
        assert!(error.to_string().contains("/proc/nothing/root"), "{error}");
    }

    #[test]
    fn content_is_repeatable_and_does_not_repeat_itself() {
        let content = FILES[0].content();
        assert_eq!(content, FILES[0].content());
        let mut pieces: Vec<&[u8]> = content.chunks(8).collect();
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!(pieces.len(), 128);
    }
}
