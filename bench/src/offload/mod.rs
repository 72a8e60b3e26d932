//! `corewise-bench offload`: what it costs to hand a job to another process and to get its answer,
//! beside what the machine allows and what others offer.
//!
//! All of a row are measured in turn, round by round, each against a partner that was started for
//! that window, so that nobody spins beside anybody else.

mod board;
mod foreign;
mod partner;
mod round_trip;
mod rows;
mod slots;
mod streams;
mod way;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use self::foreign::Foreign;
use self::rows::{Load, Read, Spec};
use self::slots::Shard;
use self::way::{Fault, Setup, Wait, Way};
use crate::arguments::Arguments;
use crate::runner::{Cores, look};
use crate::table::{Contestant, FORMAT, Table, Window};
use crate::{interrupt, server};

pub(crate) use self::partner::{COMMAND as PARTNER, run as run_partner};

/// What a run was asked for.
struct Settings {
    rows: Vec<&'static Spec>,
    rounds: u32,
    time: Duration,
    cores: Cores,
    /// Where the table goes, if that was said.
    out: Option<PathBuf>,
    strict: bool,
    command: String,
}

/// Measures the rows; false when a bar is missed and that was to count.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    if arguments.flag("--list") {
        arguments.finish()?;
        for row in rows::ROWS {
            println!("{:<18} {}", row.name, row.title);
        }
        return Ok(true);
    }
    let settings = Settings::read(arguments)?;
    server::pin(settings.cores.server)?;
    interrupt::watch()?;
    let table = settings.measure()?;
    print!("{}", table.text());
    if let Some(folder) = &settings.out {
        table.write(folder, NAME)?;
    }
    Ok(!settings.strict || table.missed() == 0)
}

impl Settings {
    fn read(mut given: Arguments) -> Result<Self, String> {
        let command = format!("corewise-bench {NAME} {}", given.rest().join(" "));
        let seconds: f64 = given.value("--seconds")?.unwrap_or(SECONDS);
        if !(seconds > 0.0 && seconds <= SECONDS_MAX) {
            return Err(format!("--seconds is above 0 and at most {SECONDS_MAX}"));
        }
        let settings = Self {
            rows: rows::chosen(&given.list("--rows")?)?,
            rounds: given.value("--rounds")?.unwrap_or(ROUNDS),
            time: Duration::from_secs_f64(seconds),
            cores: Cores {
                server: given.value("--server-cpu")?.unwrap_or(0),
                client: given.value("--client-cpu")?.unwrap_or(1),
            },
            out: given.value("--out")?,
            strict: given.flag("--strict"),
            command: command.trim().to_owned(),
        };
        given.finish().map(|()| settings)
    }

    fn measure(&self) -> Result<Table, Box<dyn Error>> {
        let mut table = Table {
            format: FORMAT,
            title: "Handing a job to another process".to_owned(),
            machine: look("not used".to_owned(), self.cores),
            command: self.command.clone(),
            rounds: self.rounds,
            contestants: contestants(),
            rows: self.rows.iter().map(|row| row.described()).collect(),
            windows: Vec::new(),
        };
        for row in &self.rows {
            for round in 0..self.rounds {
                eprintln!("{} {}/{}", row.name, round + 1, self.rounds);
                self.measure_round(row, round, &mut table.windows)?;
            }
        }
        Ok(table)
    }

    /// One window of everybody; each round begins with another one.
    fn measure_round(
        &self,
        row: &Spec,
        round: u32,
        windows: &mut Vec<Window>,
    ) -> Result<(), Box<dyn Error>> {
        let mut turns = self.turns(row);
        let first = round as usize % turns.len();
        turns.rotate_left(first);
        for (contestant, turn) in turns {
            let measured = turn();
            interrupt::check()?;
            let (figure, remark) = match measured {
                Ok(figure) => (Some(figure), None),
                Err(fault) => (None, Some(fault.to_string())),
            };
            let (row, contestant) = (row.name.to_owned(), contestant.to_owned());
            windows.push(Window { row, contestant, round, figure, remark });
        }
        Ok(())
    }

    /// Who is measured in a row, and how.
    fn turns<'a>(&'a self, row: &Spec) -> Vec<(&'static str, Turn<'a>)> {
        let time = self.time;
        let setup = |wait, bytes, shared| {
            let cpu = if shared { self.cores.server } else { self.cores.client };
            Setup { wait, bytes, cpu, shared }
        };
        match row.load {
            Load::Depth { jobs, read } => {
                let setup = setup(Wait::Awake, DEPTH_BYTES, false);
                vec![(Way::Slots.name(), Box::new(move || depth(setup, jobs, read, time)))]
            }
            Load::RoundTrip { bytes, wait, shared, ways, foreign } => {
                let setup = setup(wait, bytes, shared);
                let ways = ways.iter().map(move |way| {
                    let turn: Turn<'_> = Box::new(move || round_trip::measure(*way, setup, time));
                    (way.name(), turn)
                });
                let here = foreign.iter().filter(|foreign| foreign.missing().is_none());
                let foreign = here.map(move |foreign| {
                    let turn: Turn<'_> =
                        Box::new(move || foreign.measure(setup, self.cores.server, time));
                    (foreign.name(), turn)
                });
                ways.chain(foreign).collect()
            }
            Load::Silence => {
                let setup = setup(Wait::Asleep, DEPTH_BYTES, false);
                vec![(Way::Slots.name(), Box::new(move || silence(setup)))]
            }
        }
    }
}

type Turn<'a> = Box<dyn FnOnce() -> Result<f64, Fault> + 'a>;

fn depth(setup: Setup, jobs: u64, read: Read, time: Duration) -> Result<f64, Fault> {
    let mut shard = Shard::start(Way::Slots, setup)?;
    shard.keep_busy(jobs, setup.bytes, time / 4)?;
    let busy = shard.keep_busy(jobs, setup.bytes, time)?;
    Ok(match read {
        Read::NanosecondsPerJob => busy.ns,
        Read::SignalsPerJob => busy.signals,
    })
}

/// Hundredths of a core.
fn silence(setup: Setup) -> Result<f64, Fault> {
    let mut shard = Shard::start(Way::Slots, setup)?;
    shard.rest(SETTLE)?;
    let processes = [std::process::id(), shard.process()];
    let read = || -> Result<Vec<u64>, Fault> {
        processes.iter().map(|process| Ok(crate::runner::process_cpu_ns(*process)?)).collect()
    };
    let before = read()?;
    shard.rest(SILENCE)?;
    let after = read()?;
    let used = before.iter().zip(&after).map(|(before, after)| after - before);
    let most = used.max().expect("there are two");
    Ok(most as f64 / SILENCE.as_nanos() as f64 * 100.0)
}

fn contestants() -> Vec<Contestant> {
    let ways = Way::ALL.iter().map(|way| (way.name(), way.title(), None));
    let foreign =
        Foreign::ALL.iter().map(|foreign| (foreign.name(), foreign.title(), foreign.missing()));
    let all = ways.chain(foreign);
    all.map(|(name, title, missing)| Contestant {
        name: name.to_owned(),
        title: title.to_owned(),
        missing,
    })
    .collect()
}

/// The command, and the name of the files that it writes.
const NAME: &str = "offload";
const ROUNDS: u32 = 5;
/// Of a window: long enough for 5,000 round trips of sleepers.
const SECONDS: f64 = 0.2;
const SECONDS_MAX: f64 = 60.0;
const DEPTH_BYTES: usize = 64;
const SETTLE: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_secs(2);
