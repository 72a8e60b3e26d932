//! A server whose cost, errors and stalls are known, for tests of the harness.
//!
//! A thread for each connection, nothing clever. What it did is there to be asked: `/cpu` answers
//! with the nanoseconds of CPU of the answering process, `/counts` with what it has answered.

mod faults;
mod processes;
mod serve;

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::server;

use self::faults::Faults;

/// How the stub behaves.
#[derive(Clone, Debug, Default)]
struct Behaviour {
    /// CPU that each request to `/plaintext` costs.
    burn: Duration,
    /// Every so many requests it is paid by a child that ends.
    child_every: u64,
    faults: Faults,
    stall: Option<Stall>,
}

/// Nothing is answered for a while.
#[derive(Clone, Copy, Debug)]
struct Stall {
    length: Duration,
    when: When,
}

#[derive(Clone, Copy, Debug)]
enum When {
    Every(Duration),
    /// When the request with this number (from 1) comes.
    Request(u64),
}

/// `corewise-bench stub`: serves until the process is ended.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    if arguments.flag("--burn-and-end") {
        let us = arguments.value("--burn-us")?.unwrap_or(0);
        serve::burn(Duration::from_micros(us));
        return Ok(true);
    }
    if arguments.flag("--child") {
        let behaviour = Behaviour::from_arguments(&mut arguments)?;
        arguments.finish()?;
        serve::run(&processes::inherited_listener()?, behaviour);
    }
    let port = arguments.value("--port")?.unwrap_or(0);
    let cpu: Option<usize> = arguments.value("--cpu")?;
    let children: usize = arguments.value("--children")?.unwrap_or(0);
    let late_ms = arguments.value("--ready-after-ms")?.unwrap_or(0);
    let words = arguments.rest();
    let behaviour = Behaviour::from_arguments(&mut arguments)?;
    arguments.finish()?;
    if let Some(cpu) = cpu {
        server::pin(cpu)?;
    }
    std::thread::sleep(Duration::from_millis(late_ms));
    let listener = server::listen(port)?;
    start(&listener, children, &words, behaviour)
}

fn start(
    listener: &TcpListener,
    children: usize,
    words: &[String],
    behaviour: Behaviour,
) -> Result<bool, Box<dyn Error>> {
    if children == 0 {
        server::announce(listener)?;
        serve::run(listener, behaviour)
    }
    let keepers = processes::keep(listener, children, words)?;
    server::announce(listener)?;
    for keeper in keepers {
        keeper.join().map_err(|_| "a thread that keeps a child has panicked")??;
    }
    Ok(true)
}

impl Behaviour {
    fn from_arguments(given: &mut Arguments) -> Result<Self, String> {
        let stall_ms: Option<u64> = given.value("--stall-ms")?;
        let every_ms: Option<u64> = given.value("--stall-every-ms")?;
        let at: Option<u64> = given.value("--stall-at")?;
        let stall = match (stall_ms.map(Duration::from_millis), every_ms, at) {
            (None, None, None) => None,
            (Some(length), Some(ms), None) => {
                Some(Stall { length, when: When::Every(Duration::from_millis(ms)) })
            }
            (Some(length), None, Some(number)) => {
                Some(Stall { length, when: When::Request(number) })
            }
            _ => return Err(STALL_USAGE.to_owned()),
        };
        Ok(Self {
            burn: Duration::from_micros(given.value("--burn-us")?.unwrap_or(0)),
            child_every: given.value("--child-every")?.unwrap_or(0),
            faults: Faults::from_arguments(given)?,
            stall,
        })
    }
}

const STALL_USAGE: &str =
    "--stall-ms needs either --stall-every-ms or --stall-at, and they need it";
