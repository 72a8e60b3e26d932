//! What is measured of whom, and what is promised there.

use super::foreign::Foreign;
use super::way::{Wait, Way};
use crate::table::{Bar, Cell, Demand, Row, Unit};

/// One row. It exists by having a line in `ROWS`.
#[derive(Clone, Copy)]
pub(super) struct Spec {
    /// What `--rows` takes.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) load: Load,
    pub(super) bars: &'static [(Way, Limit)],
    pub(super) note: Option<&'static str>,
}

/// What is done.
#[derive(Clone, Copy)]
pub(super) enum Load {
    /// So many jobs of 64 bytes in the pool all the time.
    Depth { jobs: u64, read: Read },
    /// A request and its answer, one after the other.
    RoundTrip {
        bytes: usize,
        wait: Wait,
        /// Both ends on one CPU.
        shared: bool,
        ways: &'static [Way],
        foreign: &'static [Foreign],
    },
    /// Nothing, with a pool that waits: the busier of the two.
    Silence,
}

/// What is read off a load.
#[derive(Clone, Copy)]
pub(super) enum Read {
    NanosecondsPerJob,
    SignalsPerJob,
}

/// A bar, as a line of the table writes it.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    AtMost(f64),
    Times(f64, &'static str),
}

impl Spec {
    pub(super) fn described(&self) -> Row {
        let bars = self.bars.iter().map(|(way, limit)| Bar {
            contestant: way.name().to_owned(),
            demand: match limit {
                Limit::AtMost(most) => Demand::AtMost(*most),
                Limit::Times(most, of) => Demand::TimesAtMost(*most, Cell::new(self.name, of)),
            },
        });
        Row {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            unit: self.unit,
            note: self.note.map(str::to_owned),
            bars: bars.collect(),
        }
    }
}

/// The rows of these names, in the order of the report; all where none is named.
pub(super) fn chosen(words: &[String]) -> Result<Vec<&'static Spec>, String> {
    if let Some(word) = words.iter().find(|word| !ROWS.iter().any(|row| row.name == **word)) {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!("no row {word:?}; there are {}", names.join(", ")));
    }
    let wanted = |row: &&Spec| words.is_empty() || words.iter().any(|word| row.name == word);
    Ok(ROWS.iter().filter(wanted).collect())
}

const fn awake(
    name: &'static str,
    title: &'static str,
    bytes: usize,
    bars: &'static [(Way, Limit)],
) -> Spec {
    let ways = &[Way::Copies, Way::Slots];
    let foreign = &[Foreign::Iceoryx];
    let load = Load::RoundTrip { bytes, wait: Wait::Awake, shared: false, ways, foreign };
    Spec { name, title, unit: Unit::Nanoseconds, load, bars, note: None }
}

const fn asleep(name: &'static str, title: &'static str, bytes: usize) -> Spec {
    let ways = &[Way::Eventfd, Way::Slots, Way::Pipe, Way::UnixStream];
    let foreign = &[Foreign::PythonPipe, Foreign::PythonPool];
    let load = Load::RoundTrip { bytes, wait: Wait::Asleep, shared: false, ways, foreign };
    Spec { name, title, unit: Unit::Nanoseconds, load, bars: &[], note: None }
}

/// All rows, in the order of the report.
pub(super) const ROWS: &[Spec] = &[
    Spec {
        load: Load::RoundTrip {
            bytes: 64,
            wait: Wait::Awake,
            shared: false,
            ways: &[Way::PingPong, Way::Copies, Way::Slots],
            foreign: &[Foreign::Iceoryx],
        },
        ..awake(
            "awake-64",
            "round trip of 64 bytes, both awake",
            64,
            &[
                (Way::Slots, Limit::Times(4.5, "ping-pong")),
                (Way::Slots, Limit::Times(0.30, "iceoryx2")),
                (Way::Slots, Limit::AtMost(1_000.0)),
            ],
        )
    },
    awake(
        "awake-4k",
        "round trip of 4 KiB, both awake",
        4 << 10,
        &[(Way::Slots, Limit::Times(1.3, "copies"))],
    ),
    awake(
        "awake-64k",
        "round trip of 64 KiB, both awake",
        64 << 10,
        &[(Way::Slots, Limit::Times(1.4, "copies"))],
    ),
    awake(
        "awake-1m",
        "round trip of 1 MiB, both awake",
        1 << 20,
        &[(Way::Slots, Limit::Times(1.5, "copies"))],
    ),
    Spec {
        bars: &[(Way::Slots, Limit::Times(1.2, "eventfd"))],
        ..asleep("asleep-64", "round trip of 64 bytes, both asleep, two cores", 64)
    },
    asleep("asleep-64k", "round trip of 64 KiB, both asleep, two cores", 64 << 10),
    Spec {
        name: "one-core-64",
        title: "round trip of 64 bytes, both asleep, one core",
        load: Load::RoundTrip {
            bytes: 64,
            wait: Wait::Asleep,
            shared: true,
            ways: &[Way::Eventfd, Way::Slots, Way::SlotsByDefault, Way::Pipe, Way::UnixStream],
            foreign: &[Foreign::PythonPipe, Foreign::PythonPool],
        },
        bars: &[
            (Way::Slots, Limit::Times(1.05, "eventfd")),
            (Way::SlotsByDefault, Limit::Times(1.3, "corewise")),
        ],
        ..asleep("", "", 64)
    },
    Spec {
        name: "depth-64",
        title: "a job of 64 bytes among 64 in the pool, both awake",
        unit: Unit::Nanoseconds,
        load: Load::Depth { jobs: 64, read: Read::NanosecondsPerJob },
        bars: &[(Way::Slots, Limit::AtMost(120.0))],
        note: Some("its instructions: corewise-bench instructions"),
    },
    Spec {
        name: "depth-64-signals",
        title: "system calls for such a job: doorbells that either end rang",
        unit: Unit::Count,
        load: Load::Depth { jobs: 64, read: Read::SignalsPerJob },
        bars: &[(Way::Slots, Limit::AtMost(0.0))],
        note: None,
    },
    Spec {
        name: "silence",
        title: "CPU of a shard's and a worker's end that wait, the busier of the two",
        unit: Unit::Percent,
        load: Load::Silence,
        bars: &[(Way::Slots, Limit::AtMost(0.2))],
        note: Some("both look four times a second; windows of 2 s"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_bars_name_who_is_measured() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name), "{}", row.name);
            for (way, limit) in row.bars {
                let names = contestants(row);
                assert!(names.contains(&way.name()), "{}", row.name);
                if let Limit::Times(_, of) = limit {
                    assert!(names.contains(of), "{}: {of}", row.name);
                }
            }
        }
        assert_eq!(chosen(&[]).unwrap().len(), ROWS.len());
        assert_eq!(chosen(&["silence".to_owned()]).unwrap().len(), 1);
        assert!(chosen(&["noise".to_owned()]).err().unwrap().contains("depth-64"));
    }

    fn contestants(row: &Spec) -> Vec<&'static str> {
        match row.load {
            Load::RoundTrip { ways, foreign, .. } => {
                let ours = ways.iter().map(|way| way.name());
                ours.chain(foreign.iter().map(|foreign| foreign.name())).collect()
            }
            Load::Depth { .. } | Load::Silence => vec![Way::Slots.name()],
        }
    }
}
