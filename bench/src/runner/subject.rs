//! What is measured: how each server is started, checked and ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::columns::Route;
use crate::server::pin;

/// A server by name: `bare`, `bare:OPTION+OPTION`, `hyper`, `corewise`.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// Answers everything with the text of /plaintext.
    fixed: bool,
}

/// A server that runs.
pub(super) struct Running {
    child: Child,
    /// Kept open, so that the server can go on writing to it.
    _stdout: BufReader<std::process::ChildStdout>,
    pub(super) address: SocketAddr,
}

impl Subject {
    /// Finds the program of a name: all of them lie beside this one.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let (kind, options) = name.split_once(':').unwrap_or((name, ""));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let cpu = SERVER_CPU;
        let (program, mut arguments) = match kind {
            "bare" | "bare2" => (own, words(&format!("bare --cpu {cpu} --port 0"))),
            "hyper" => (own, words(&format!("hyper --cpu {cpu} --port 0"))),
            "corewise" => (beside(&own)?, words("demo --bind 127.0.0.1:0 --shards 1")),
            _ => return Err(format!("unknown subject {name:?}")),
        };
        if !options.is_empty() {
            arguments.extend(["--ring".to_owned(), options.replace('+', ",")]);
        }
        Ok(Self { name: name.to_owned(), program, arguments, fixed: kind != "corewise" })
    }

    /// The command as a person would type it, without the folder.
    pub(super) fn command_line(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        format!("taskset -c {SERVER_CPU} {program} {}", self.arguments.join(" "))
    }

    /// Starts it on the server's core and waits for its ready line.
    pub(super) fn start(&self) -> io::Result<Running> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: the closure makes two system calls, allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                pin(SERVER_CPU)
            });
        }
        let mut child = command.spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        match ready_address(&line) {
            Some(address) => Ok(Running { child, _stdout: stdout, address }),
            None => {
                child.kill()?;
                let status = child.wait()?;
                let message = format!("{} is not ready ({status}): {line:?}", self.name);
                Err(io::Error::other(message))
            }
        }
    }

    /// Asks once and compares the answer with what it must be.
    pub(super) fn check(&self, address: SocketAddr, route: Route) -> io::Result<Answer> {
        let answer = ask(address, route.path())?;
        let expected = if self.fixed { Route::Plaintext.body() } else { route.body() };
        if answer.status_line != "HTTP/1.1 200 OK" || answer.body != expected {
            let message = format!("{} answers {} with {answer:?}", self.name, route.path());
            return Err(io::Error::other(message));
        }
        Ok(answer)
    }
}

impl Running {
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to leave, then makes it.
    pub(super) fn stop(mut self) -> io::Result<()> {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                return Err(io::Error::other("the server did not leave when it was told to"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// One answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    status_line: String,
    body: String,
    /// Head and body: what crosses the wire for each request.
    pub(super) bytes: usize,
}

fn ask(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = content_length(head).unwrap_or(0);
            if body.len() >= length {
                let status_line = head.lines().next().unwrap_or_default().to_owned();
                let body = body.to_owned();
                return Ok(Answer { status_line, body, bytes: received.len() });
            }
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::Error::other(format!("cut answer: {text:?}"))),
            count => received.extend_from_slice(&piece[..count]),
        }
    }
}

fn content_length(head: &str) -> Option<usize> {
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    })?;
    value.trim().parse().ok()
}

fn ready_address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("ready http://")?.split_whitespace().next()?.parse().ok()
}

fn beside(own: &Path) -> Result<PathBuf, String> {
    let path = own.with_file_name("corewise");
    if path.exists() {
        return Ok(path);
    }
    Err("no corewise beside corewise-bench; run `cargo build --release --workspace`".to_owned())
}

/// The core that every server is pinned to; the load comes from `load::WRK_CPU`.
pub(super) const SERVER_CPU: usize = 0;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_tells_the_address() {
        let address = ready_address("ready http://127.0.0.1:80 2 shards\n").unwrap();
        assert_eq!(address.port(), 80);
        assert!(ready_address("").is_none());
        assert!(ready_address("error: port taken").is_none());
    }

    #[test]
    fn subjects_have_names_and_options() {
        let subject = Subject::named("bare:direct+no-sqarray").unwrap();
        assert!(subject.command_line().ends_with("--ring direct,no-sqarray"));
        assert!(Subject::named("nginx").is_err());
    }
}
