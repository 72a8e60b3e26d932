//! The open-loop generator: requests at their intended moments, whatever the server does.
//!
//! A closed loop asks again when it was answered, so a server that stalls is asked less while it
//! stalls, and the stall is hardly in the figures. Here the moments are fixed before the load
//! begins, and a latency runs from the intended moment, also while the request waits in the
//! generator for a connection.
//!
//! `schedule`, `reader`, `judge`, `histogram`, `ledger` and `tally` do no I/O; `connection` and
//! `poll` touch sockets; `lane` and `generator` put them together.

mod connection;
mod generator;
mod histogram;
mod judge;
mod lane;
mod ledger;
mod outcome;
mod poll;
mod reader;
mod request;
mod schedule;
mod settings;
mod tally;

use std::error::Error;
use std::io;
use std::process::Command;

pub(crate) use self::generator::monotonic_ns;
pub(crate) use self::outcome::{Fate, Outcome};
pub(crate) use self::schedule::Random;
pub(crate) use self::settings::{Heavy, Settings};
use crate::arguments::Arguments;
use crate::{client, server};

/// `corewise-bench open`: a load in this process.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let json = arguments.flag("--json");
    let cpu: Option<usize> = arguments.value("--cpu")?;
    let urgent = arguments.flag("--urgent");
    let settings = Settings::from_arguments(&mut arguments)?;
    arguments.finish()?;
    if let Some(cpu) = cpu {
        server::pin(cpu)?;
    }
    if urgent {
        server::hurry()?;
    }
    let outcome = generator::run(&settings)?;
    if json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        print!("{outcome}");
    }
    Ok(true)
}

/// The same beside servers that have all CPUs: it sleeps between its requests, and runs before
/// everybody else when one is due.
pub(crate) fn run_among(settings: &Settings, cpu: usize) -> io::Result<Outcome> {
    let settings = Settings { spin: false, ..settings.clone() };
    run_with(&settings, cpu, &["--urgent"])
}

/// A load in a process of its own on the client's core.
pub(crate) fn run_beside(settings: &Settings, cpu: usize) -> io::Result<Outcome> {
    run_with(settings, cpu, &[])
}

fn run_with(settings: &Settings, cpu: usize, more: &[&str]) -> io::Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("open").arg("--json").args(more).args(settings.words());
    let printed = client::run(&mut command, cpu)?;
    serde_json::from_str(&printed)
        .map_err(|error| io::Error::other(format!("the generator printed {printed:?}: {error}")))
}
