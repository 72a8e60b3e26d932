//! What is read off the scenarios, and what is promised there.

use super::scenario::Scenario;
use crate::table::{Bar, Cell, Demand, Row, Unit};

/// One row. It exists by having a line in `ROWS`.
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) scenario: Scenario,
    pub(super) bars: &'static [Limit],
    pub(super) note: Option<&'static str>,
}

/// A bar for corewise, as a line of the table writes it. Others are named by row and contestant.
pub(super) enum Limit {
    AtLeast(f64),
    AtMost(f64),
    Over(f64, &'static str, &'static str),
    TimesAtLeast(f64, &'static str, &'static str),
    TimesAtMost(f64, &'static str, &'static str),
}

impl Spec {
    pub(super) fn described(&self) -> Row {
        let bars = self.bars.iter().map(|limit| Bar {
            contestant: self.scenario.ours().to_owned(),
            demand: match limit {
                Limit::AtLeast(least) => Demand::AtLeast(*least),
                Limit::AtMost(most) => Demand::AtMost(*most),
                Limit::Over(most, row, whose) => Demand::Over(*most, Cell::new(row, whose)),
                Limit::TimesAtLeast(least, row, whose) => {
                    Demand::TimesAtLeast(*least, Cell::new(row, whose))
                }
                Limit::TimesAtMost(most, row, whose) => {
                    Demand::TimesAtMost(*most, Cell::new(row, whose))
                }
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

/// corewise with its worker on a CPU of its own.
pub(super) const OWN: &str = "corewise-own";
/// corewise as it is.
pub(super) const OURS: &str = "corewise";
const GUNICORN: &str = "nginx-gunicorn";

pub(super) const OWN_ALONE: &str = "own-light-alone";
pub(super) const OWN_LIGHT: &str = "own-light";
pub(super) const OWN_HEAVY: &str = "own-heavy";
pub(super) const LIGHT: &str = "default-light";
pub(super) const LIGHT_ALONE: &str = "default-light-alone";
pub(super) const HEAVY: &str = "default-heavy";
pub(super) const USEFUL: &str = "overload-useful";
pub(super) const WASTE: &str = "overload-waste";
pub(super) const REFUSAL: &str = "overload-refusal";
pub(super) const RETRY_AFTER: &str = "overload-retry-after";
pub(super) const OVERLOAD_MEMORY: &str = "overload-memory";
pub(super) const OVERLOAD_LIGHT: &str = "overload-light";
pub(super) const OVERLOAD_LIGHT_BEFORE: &str = "overload-light-before";
pub(super) const RECOVERY: &str = "overload-recovery";
pub(super) const LEFT: &str = "left-burns";
pub(super) const HTTP_INLINE: &str = "http-inline";
pub(super) const HTTP_OFFLOAD: &str = "http-offload";
pub(super) const IDLE: &str = "idle";
pub(super) const KILL_LIGHT: &str = "kill-light-lost";
pub(super) const KILL_HEAVY: &str = "kill-heavy-lost";
pub(super) const KILL_NEXT: &str = "kill-next";

const fn row(
    name: &'static str,
    title: &'static str,
    unit: Unit,
    scenario: Scenario,
    bars: &'static [Limit],
) -> Spec {
    Spec { name, title, unit, scenario, bars, note: None }
}

/// All rows, in the order of the report.
pub(super) const ROWS: &[Spec] = &[
    row(
        OWN_ALONE,
        "2,000 light requests/s, worker on its own CPU, nothing heavy: p99",
        Unit::Milliseconds,
        Scenario::Own,
        &[],
    ),
    row(
        OWN_LIGHT,
        "the same with 16 heavy ones in flight: p99",
        Unit::Milliseconds,
        Scenario::Own,
        &[Limit::TimesAtMost(1.5, OWN_ALONE, OWN)],
    ),
    row(
        OWN_HEAVY,
        "heavy requests answered meanwhile",
        Unit::PerSecond,
        Scenario::Own,
        &[Limit::TimesAtLeast(0.98, OWN_HEAVY, super::BARE)],
    ),
    row(
        LIGHT_ALONE,
        "2,000 light requests/s, default settings on two CPUs, nothing heavy: p99",
        Unit::Milliseconds,
        Scenario::Default,
        &[],
    ),
    row(
        LIGHT,
        "the same with 16 heavy ones in flight: p99",
        Unit::Milliseconds,
        Scenario::Default,
        &[Limit::AtMost(1.0), Limit::TimesAtMost(0.75, LIGHT, GUNICORN)],
    ),
    row(
        HEAVY,
        "heavy requests answered meanwhile",
        Unit::PerSecond,
        Scenario::Default,
        &[Limit::TimesAtLeast(1.03, HEAVY, GUNICORN)],
    ),
    Spec {
        note: Some("capacity: what the same server answered of 16 in flight just before"),
        ..row(
            USEFUL,
            "heavy at 1.5 x capacity for 20 s, clients leave after 5 s: right answers in the last \
             10 s, of capacity",
            Unit::Share,
            Scenario::Overload,
            &[Limit::AtLeast(0.97)],
        )
    },
    Spec {
        note: Some(
            "by CPU time, less what light requests cost; what refusals cost is in it, so that a \
             few hundredths are none",
        ),
        ..row(
            WASTE,
            "burns for nobody, of all burns",
            Unit::Share,
            Scenario::Overload,
            &[Limit::AtMost(0.05)],
        )
    },
    row(
        REFUSAL,
        "time to a refusal: p99",
        Unit::Milliseconds,
        Scenario::Overload,
        &[Limit::AtMost(10.0)],
    ),
    row(
        RETRY_AFTER,
        "refusals that say when to come again",
        Unit::Share,
        Scenario::Overload,
        &[Limit::AtLeast(1.0)],
    ),
    row(
        OVERLOAD_MEMORY,
        "memory more than before",
        Unit::MebiBytes,
        Scenario::Overload,
        &[Limit::AtMost(8.0)],
    ),
    row(
        OVERLOAD_LIGHT_BEFORE,
        "2,000 light requests/s at capacity: p99",
        Unit::Milliseconds,
        Scenario::Overload,
        &[],
    ),
    row(
        OVERLOAD_LIGHT,
        "2,000 light requests/s in overload: p99",
        Unit::Milliseconds,
        Scenario::Overload,
        &[Limit::TimesAtMost(1.5, OVERLOAD_LIGHT_BEFORE, OURS)],
    ),
    row(
        RECOVERY,
        "from the end of the overload until heavy requests take their usual time again",
        Unit::Milliseconds,
        Scenario::Overload,
        // The longest wait in the queue (1 s) and half a second.
        &[Limit::AtMost(1_500.0)],
    ),
    Spec {
        note: Some("by CPU time; two that run when all leave are worth one on average"),
        ..row(
            LEFT,
            "64 clients leave while their heavy requests wait: burns after that",
            Unit::Count,
            Scenario::Leave,
            &[Limit::AtMost(3.0)],
        )
    },
    row(
        KILL_LIGHT,
        "the process that burns is killed: light requests lost",
        Unit::Count,
        Scenario::Kill,
        &[Limit::AtMost(0.0)],
    ),
    row(
        KILL_HEAVY,
        "heavy requests lost",
        Unit::Count,
        Scenario::Kill,
        &[Limit::AtMost(1.0), Limit::AtLeast(1.0)],
    ),
    row(
        KILL_NEXT,
        "from the kill to the beginning of the next burn",
        Unit::Milliseconds,
        Scenario::Kill,
        &[Limit::AtMost(10.0)],
    ),
    row(
        HTTP_INLINE,
        "CPU of all processes for GET /plaintext, 32 connections",
        Unit::Microseconds,
        Scenario::Http,
        &[],
    ),
    row(
        HTTP_OFFLOAD,
        "CPU of all processes for GET /offload/plaintext, 32 connections",
        Unit::Microseconds,
        Scenario::Http,
        &[Limit::Over(3.0, HTTP_INLINE, OWN)],
    ),
    Spec {
        note: Some("over 20 s"),
        ..row(
            IDLE,
            "CPU of the busiest process while nothing is asked",
            Unit::Percent,
            Scenario::Idle,
            &[Limit::AtMost(0.2)],
        )
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_bars_name_rows_that_exist() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name), "{}", row.name);
            for bar in row.described().bars {
                let of = match &bar.demand {
                    Demand::TimesAtLeast(_, of) | Demand::TimesAtMost(_, of) => of.row.clone(),
                    _ => continue,
                };
                assert!(ROWS.iter().any(|other| other.name == of), "{of}");
            }
        }
    }
}
