//! Files to be served: what every subject has in its root.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::open::Random;

/// A file of the root, served as `/file/{name}`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Served {
    pub(crate) name: &'static str,
    pub(crate) bytes: usize,
}

/// In the order of the report.
pub(crate) const FILES: [Served; 3] = [
    Served { name: "1k", bytes: 1 << 10 },
    Served { name: "100k", bytes: 100 << 10 },
    Served { name: "10m", bytes: 10 << 20 },
];

impl Served {
    /// Whether the file still holds what was written to it. Serving must not change what is served,
    /// and who answers with the file is compared with the file.
    pub(crate) fn is_intact(self, root: &Path) -> io::Result<bool> {
        let mut file = File::open(root.join(self.name))?;
        let mut found = Vec::with_capacity(self.bytes);
        file.read_to_end(&mut found)?;
        Ok(found == self.content())
    }

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
    fs::create_dir_all(&root)?;
    for served in FILES {
        let path = root.join(served.name);
        let write = || -> io::Result<()> {
            File::create(&path)?.write_all(&served.content())?;
            let all_read = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(&path, all_read)
        };
        write().map_err(|error| io::Error::new(error.kind(), format!("{path:?}: {error}")))?;
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_length_and_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = make(folder.path()).unwrap();
        for served in FILES {
            assert_eq!(fs::metadata(root.join(served.name)).unwrap().len(), served.bytes as u64);
            assert!(served.is_intact(&root).unwrap());
        }
        let path = root.join("1k");
        let mut content = fs::read(&path).unwrap();
        content[1000] ^= 1;
        fs::write(&path, content).unwrap();
        assert!(!FILES[0].is_intact(&root).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(FILES[0].is_intact(&root).is_err());
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
