//! Any bytes as a configuration file and as variables: they resolve, or each fault has a place.

use std::fs;
use std::path::PathBuf;

use corewise::config::machine::{Cpu, Machine};
use corewise::config::options::{OPTIONS, POOL_OPTIONS};
use corewise::config::{Fault, Origin, Sources};

pub(crate) struct Target {
    folder: tempfile::TempDir,
    machine: Machine,
}

impl Target {
    pub(crate) fn new() -> Self {
        let cpu = |number| Cpu { number, core: number / 2, l3: 0, node: 0, capacity: 1024 };
        let machine =
            Machine { cpus: (0..4).map(cpu).collect(), mask: vec![0, 1, 3], ..Machine::default() };
        Self { folder: tempfile::tempdir().expect("a folder for the file"), machine }
    }

    pub(crate) fn check(&self, input: &[u8]) -> Result<(), String> {
        fs::write(self.file(), input).expect("the file can be written");
        let mut sources = Sources { file: Some(self.file()), ..Sources::default() };
        self.resolve(&sources)?;
        // Its lines as values of variables, each by the option that its first byte says.
        let text = String::from_utf8_lossy(input);
        sources.environment = text.lines().filter_map(variable).collect();
        self.resolve(&sources)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("corewise.toml")
    }

    fn resolve(&self, sources: &Sources) -> Result<(), String> {
        let faults = match sources.resolve(&self.machine) {
            Ok(config) if config.server.listen.is_empty() => {
                return Err("nothing to listen on".to_owned());
            }
            Ok(_) => return Ok(()),
            Err(faults) => faults,
        };
        if faults.0.is_empty() {
            return Err("refused without a fault".to_owned());
        }
        faults.0.iter().try_for_each(check_fault)?;
        let shown = faults.render(false);
        let is_loud = |char: char| char.is_control() && char != '\n';
        if shown.contains(is_loud) {
            return Err(format!("what is shown has control characters: {shown:?}"));
        }
        if faults.render(true).len() < shown.len() {
            Err("colours are missing".into())
        } else {
            Ok(())
        }
    }
}

fn check_fault(fault: &Fault) -> Result<(), String> {
    let places = [Some(&fault.origin), fault.second.as_ref().map(|second| &second.origin)];
    for origin in places.into_iter().flatten() {
        match origin {
            Origin::Default => return Err(format!("a fault without a place: {fault:?}")),
            Origin::File { source, span } if span.end > source.text.len() => {
                return Err(format!("a place outside of the file: {fault:?}"));
            }
            _ => {}
        }
    }
    if fault.message.is_empty() || fault.message.ends_with('.') {
        return Err(format!("a message that says nothing: {fault:?}"));
    }
    Ok(())
}

fn variable(line: &str) -> Option<(String, String)> {
    let first = usize::from(*line.as_bytes().first()?);
    let value = line.split_once('=').map_or(line, |(_, value)| value).to_owned();
    let options: Vec<_> = OPTIONS.iter().chain(&POOL_OPTIONS).collect();
    let def = options[first % options.len()];
    let name = if def.is_of_pools() { def.variable_in("app") } else { def.variable() };
    Some((name, value))
}

/// What matters to the file.
pub(crate) const DICTIONARY: &[&[u8]] = &[
    b"[limits]\n",
    b"[pool.app]\n",
    b"[[limits]]\n",
    b"[pool]\n",
    b"[server]\n",
    b"[cores]\n",
    b"[log]\n",
    b"pool.app.",
    b"body = ",
    b"workers = ",
    b"listen = ",
    b"shards = ",
    b"cores = ",
    b"use = ",
    b"boot = { timeout = ",
    b"env = ",
    b"warm = ",
    b"\"",
    b"'",
    b"\"\"\"",
    b"\n",
    b"=",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b".",
    b"#",
    b"-",
    b"_",
    b"auto",
    b"\"auto\"",
    b"true",
    b"inf",
    b"nan",
    b"0x",
    b"1e9",
    b"99999999999999999999",
    b"-1",
    b"\"30s\"",
    b"\"1..2\"",
    b"\"0-3,6\"",
    b"\"l3:0,1\"",
    b"\"10%\"",
    b"1979-05-27",
    b"\\u001b",
    b"\xff",
    b"\xc3\xbc",
    b"\xef\xbb\xbf",
    b"\0",
    b"\r\n",
    b"\xf0\x9f\x98\x80",
];
