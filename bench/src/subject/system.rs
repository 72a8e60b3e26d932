//! Whether a subject is on this machine, and where.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command;
use super::description::Description;
use crate::result::{self, State};

/// A subject whose program is here.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(super) description: Description,
    pub(super) program: PathBuf,
    version: Option<String>,
}

impl Description {
    /// Looks for the program; `State::Missing` says how to come by it.
    pub(crate) fn find(&self) -> Result<Ready, State> {
        if self.needs_upstream() && self.upstream.is_none() {
            return Err(State::Missing {
                why: "it is a relay, and no server behind it was named".to_owned(),
                fix: format!("--subjects {}:ADDRESS:PORT, of a server on a third CPU", self.name),
            });
        }
        let missing = |why: String| State::Missing { why, fix: self.get().to_owned() };
        let program = find_program(&self.program);
        let program = program.ok_or_else(|| missing(format!("{} is not here", self.program)))?;
        if let Some(other) = self.needs.iter().find(|name| find_program(name).is_none()) {
            return Err(missing(format!("{other} is not here")));
        }
        let version = self.version.as_deref().and_then(|words| ask_version(&program, words));
        Ok(Ready { description: self.clone(), program, version })
    }

    /// How the subject stands in the data of a run with these columns.
    pub(crate) fn entry(
        &self,
        version: Option<String>,
        state: State,
        columns: &[result::Column],
    ) -> result::Subject {
        let declined = |column: &result::Column| {
            let why = self.declines(&column.name, column.group)?;
            Some((column.name.clone(), why.to_owned()))
        };
        result::Subject {
            name: self.name.clone(),
            title: self.title.clone(),
            role: self.role,
            version,
            commands: self.commands(),
            state,
            declined: columns.iter().filter_map(declined).collect(),
            note: self.note.clone(),
        }
    }
}

impl Ready {
    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    /// What the program says of itself.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

/// Where the program is, if it is here.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    places(name).into_iter().find(|path| is_program(path))
}

/// Where a program may lie, best first.
fn places(program: &str) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![PathBuf::from(program)];
    }
    let own = env::current_exe().unwrap_or_default();
    let beside = own.parent().unwrap_or(Path::new("")).to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![beside.clone(), beside.join(PEERS), beside.join(PYTHON)];
    folders.extend(env::split_paths(&path));
    // Where systems keep servers, which is not in everybody's PATH.
    folders.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(program)).collect()
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The first line that it prints, on whichever stream.
fn ask_version(program: &Path, arguments: &str) -> Option<String> {
    let words = command::words(arguments).ok()?;
    let output = Command::new(program).args(words).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// From the folder of our own program (`target/release` of a checkout) to that of the peers.
const PEERS: &str = "../../bench/peers/target/release";
/// And to that of the peers in Python.
const PYTHON: &str = "../../bench/peers/target/python/bin";
