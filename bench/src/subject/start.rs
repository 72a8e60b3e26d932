//! Starting a subject, up to its first right answer.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::answer::{self, Route};
use super::command::{self, Values};
use super::description::{Description, Readiness};
use super::guard::Guarded;
use super::port::Port;
use super::running::Running;
use super::system::Ready;
use crate::interrupt;

/// Where a subject is started, and what lies there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The first one is where a server that has one thread should be.
    pub(crate) cpus: Vec<usize>,
    /// 0 is any that is free.
    pub(crate) port: u16,
    /// Files to be served.
    pub(crate) root: PathBuf,
    /// The run's own; each subject has a folder in it for its configuration and its output.
    pub(crate) folder: PathBuf,
    /// How long the first right answer may take.
    pub(crate) start_patience: Duration,
    /// How long it may take to leave when it is told to.
    pub(crate) stop_patience: Duration,
}

/// Why a subject does not run, and the last words of it.
#[derive(Debug)]
pub(crate) struct StartError {
    name: String,
    pub(super) why: Why,
    output: String,
}

#[derive(Debug)]
pub(super) enum Why {
    /// It ended instead of serving.
    Ended(ExitStatus),
    Io(io::Error),
    /// The time was up; this came last.
    NotReady(Duration, String),
    /// It answered, and something else.
    Wrong(String),
}

impl Place {
    /// A free port, and patience for a server that loads an application.
    pub(crate) fn new(cpu: usize, root: &Path, folder: &Path) -> Self {
        Self {
            cpus: vec![cpu],
            port: 0,
            root: root.to_owned(),
            folder: folder.to_owned(),
            start_patience: Duration::from_secs(30),
            stop_patience: Duration::from_secs(10),
        }
    }
}

impl Ready {
    /// Starts it, and returns once it has given a right answer.
    pub(crate) fn start(&self, place: &Place) -> Result<Running, StartError> {
        let folder = place.folder.join(folder_name(&self.description.name));
        let started = self.claim_and_start(place, &folder);
        started.map_err(|why| StartError {
            name: self.description.name.clone(),
            why,
            output: last_words(&folder),
        })
    }

    fn claim_and_start(&self, place: &Place, folder: &Path) -> Result<Running, Why> {
        // Who starts again at its old place has claimed that before.
        let claim = (place.port == 0).then(Port::claim).transpose()?;
        let port = claim.as_ref().map_or(place.port, Port::number);
        let mut guarded = self.spawn(place, folder, port)?;
        let address = self.await_ready(&mut guarded, place, folder, port)?;
        let place = Place { port: address.port(), ..place.clone() };
        Ok(Running::new(self.clone(), place, guarded, address, claim))
    }

    fn spawn(&self, place: &Place, folder: &Path, port: u16) -> Result<Guarded, Why> {
        let description = &self.description;
        fs::create_dir_all(folder)?;
        // Servers resolve what is not absolute against a folder of their own.
        let (folder, root) = (fs::canonicalize(folder)?, fs::canonicalize(&place.root)?);
        let config = folder.join("config");
        let cpus: Vec<String> = place.cpus.iter().map(ToString::to_string).collect();
        let values = Values::from([
            ("config", config.display().to_string()),
            ("cpu", place.cpus[0].to_string()),
            ("cpus", cpus.join(",")),
            ("folder", folder.display().to_string()),
            ("port", port.to_string()),
            ("root", root.display().to_string()),
            (
                "upstream",
                description.upstream.map_or_else(String::new, |address| address.to_string()),
            ),
        ]);
        if let Some(text) = description.config_text() {
            fs::write(&config, command::expand(&text, &values))?;
        }
        for (name, content) in &description.files {
            fs::write(folder.join(name), content)?;
        }
        let words = command::words(&description.start).expect("`check` has split them before");
        let mut command = Command::new(&self.program);
        command
            .args(words.iter().map(|word| command::expand(word, &values)))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join(STDOUT))?)
            .stderr(File::create(folder.join(STDERR))?);
        Ok(Guarded::spawn(command, &place.cpus)?)
    }

    /// Asks until the answer is right, and finds out why it never is.
    fn await_ready(
        &self,
        guarded: &mut Guarded,
        place: &Place,
        folder: &Path,
        port: u16,
    ) -> Result<SocketAddr, Why> {
        let description = &self.description;
        let (path, expected) =
            (Route::Plaintext.path(description), Route::Plaintext.body(description, &place.root)?);
        let deadline = Instant::now() + place.start_patience;
        let mut seen = "nothing".to_owned();
        while Instant::now() < deadline {
            interrupt::check()?;
            if let Some(address) = listening(description, folder, port)? {
                match answer::check(address, &path, &expected) {
                    Ok(_) => return Ok(address),
                    Err(wrong) if wrong.passing => seen = wrong.to_string(),
                    Err(wrong) => return Err(Why::Wrong(wrong.to_string())),
                }
            }
            if let Some(status) = guarded.wait(BETWEEN_LOOKS)? {
                return Err(Why::Ended(status));
            }
        }
        Err(Why::NotReady(place.start_patience, seen))
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not start: ", self.name)?;
        match &self.why {
            Why::Ended(status) => write!(f, "it ended at once ({status})")?,
            Why::Io(error) => write!(f, "{error}")?,
            Why::NotReady(patience, seen) => {
                write!(f, "no right answer within {patience:?}; last seen: {seen}")?;
            }
            Why::Wrong(what) => f.write_str(what)?,
        }
        match self.output.as_str() {
            "" => Ok(()),
            output => write!(f, "\n{output}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Where the subject is to be asked, as far as is known yet.
fn listening(
    description: &Description,
    folder: &Path,
    port: u16,
) -> io::Result<Option<SocketAddr>> {
    match description.ready {
        Readiness::Answer => Ok(Some((Ipv4Addr::LOCALHOST, port).into())),
        Readiness::Line => Ok(ready_address(&fs::read_to_string(folder.join(STDOUT))?)),
    }
}

/// The address of the ready line, once that is complete.
fn ready_address(output: &str) -> Option<SocketAddr> {
    let lines = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let mut addresses = lines.filter_map(|line| line.strip_prefix("ready http://"));
    addresses.next()?.split_whitespace().next()?.parse().ok()
}

/// Options, which a name may hold, may hold a path.
pub(super) fn folder_name(subject: &str) -> String {
    subject.replace('/', "_")
}

/// The end of what a subject has printed, for the message that says it failed.
pub(super) fn last_words(folder: &Path) -> String {
    let ends = [STDERR, STDOUT].map(|name| tail(&folder.join(name)).unwrap_or_default());
    let mut ends = ends.iter().filter(|text| !text.trim().is_empty());
    ends.next().map_or_else(String::new, |text| text.trim_end().to_owned())
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 10;
/// Between two looks whether a subject is ready; also how exactly its start can be timed.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_one_folder_below_the_run_s() {
        assert_eq!(folder_name("corewise:--x=/../../etc"), "corewise:--x=_.._.._etc");
    }

    #[test]
    fn the_ready_line_tells_the_address_once_it_is_whole() {
        let address = ready_address("warming\nready http://127.0.0.1:80 2 shards\n").unwrap();
        assert_eq!(address.port(), 80);
        assert!(ready_address("ready http://127.0.0.1:80").is_none());
        assert!(ready_address("error: port taken\n").is_none());
    }
}
