//! The stub and the generator as processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A stub of its own for each test, ended with it.
pub(crate) struct Stub {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// A load that runs.
pub(crate) struct Load(Child);

/// What a load has printed.
pub(crate) struct Outcome(Value);

impl Stub {
    pub(crate) fn start(options: &str) -> Self {
        Self::start_as("stub", options)
    }

    /// Another server of this package.
    pub(crate) fn start_as(command: &str, options: &str) -> Self {
        let mut child = program(&format!("{command} {options}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built for this test");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("stdout is text");
        let address = line.trim().strip_prefix("ready http://").expect("a ready line");
        Self { address: address.parse().expect("an address"), child }
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks on a connection of its own; the body of the answer.
    pub(crate) fn ask(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }

    pub(crate) fn counts(&self) -> Value {
        serde_json::from_str(&self.ask("/counts")).unwrap()
    }

    /// Waits until so many requests have come.
    pub(crate) fn await_requests(&self, count: u64) {
        until("requests", || self.counts()["requests"].as_u64().unwrap() >= count);
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.child.kill().expect("it is not waited for before");
        self.child.wait().expect("it is our child");
    }
}

impl Load {
    /// Puts it on a server. It does not spin: a test is not alone on the machine.
    pub(crate) fn start(address: SocketAddr, options: &str) -> Self {
        let words = format!("open --address {address} --sleep --json {options}");
        let child = program(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self(child)
    }

    pub(crate) fn finish(self) -> Outcome {
        let output = self.0.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        Outcome(serde_json::from_slice(&output.stdout).unwrap())
    }

    /// What it says when it cannot do what it is asked for.
    pub(crate) fn fail(self) -> String {
        let output = self.0.wait_with_output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Outcome {
    /// A value by its path, such as `light.latency.max_us`; zero where there is none.
    pub(crate) fn number(&self, path: &str) -> f64 {
        path.split('.').fold(&self.0, |value, name| &value[name]).as_f64().unwrap_or(0.0)
    }

    pub(crate) fn count(&self, path: &str) -> u64 {
        self.number(path) as u64
    }

    /// How many light requests ended so.
    pub(crate) fn fate(&self, fate: &str) -> u64 {
        self.count(&format!("light.fates.{fate}"))
    }

    /// How many light requests have an end at all.
    pub(crate) fn ended(&self) -> u64 {
        let fates = self.0["light"]["fates"].as_object().unwrap();
        fates.values().map(|count| count.as_u64().unwrap()).sum()
    }

    /// Microseconds at a percentile of a distribution.
    pub(crate) fn percentile(&self, distribution: &str, percentile: f64) -> f64 {
        let found = distribution.split('.').fold(&self.0, |value, name| &value[name]);
        let pairs = found["percentiles"].as_array().unwrap();
        let pair = pairs.iter().find(|pair| pair[0].as_f64() == Some(percentile));
        pair.expect("enough samples for it")[1].as_f64().unwrap()
    }

    pub(crate) fn right_by_bucket(&self) -> Vec<u64> {
        let buckets = self.0["ledger"]["right_by_bucket"].as_array().unwrap();
        buckets.iter().map(|count| count.as_u64().unwrap()).collect()
    }
}

/// Puts a load on a server and waits for its end.
pub(crate) fn load(server: &Stub, options: &str) -> Outcome {
    Load::start(server.address, options).finish()
}

#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn program(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corewise-bench"));
    command.args(words.split(' ').filter(|word| !word.is_empty()));
    command
}

const PATIENCE: Duration = Duration::from_secs(40);
