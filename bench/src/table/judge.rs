//! Medians, ratios, and what became of a bar.

use super::{Bar, Cell, Demand, Row, Table};
use crate::statistics::Summary;

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Kept(f64),
    Missed(f64),
    /// There is nothing to hold it against.
    Open,
}

impl Outcome {
    pub(super) fn is_missed(self) -> bool {
        matches!(self, Self::Missed(_))
    }
}

impl Table {
    /// The figures of a cell by their rounds.
    fn figures<'a>(
        &'a self,
        row: &'a str,
        contestant: &'a str,
    ) -> impl Iterator<Item = (u32, f64)> + 'a {
        let mine = self.windows.iter().filter(move |w| w.row == row && w.contestant == contestant);
        mine.filter_map(|window| Some((window.round, window.figure?)))
    }

    pub(crate) fn summary(&self, row: &str, contestant: &str) -> Option<Summary> {
        Summary::of(self.figures(row, contestant).map(|(_, figure)| figure))
    }

    pub(super) fn outcome(&self, row: &Row, bar: &Bar) -> Outcome {
        let Some(value) = self.value(row, bar) else { return Outcome::Open };
        if bar.demand.is_met_by(value) { Outcome::Kept(value) } else { Outcome::Missed(value) }
    }

    /// What is held against the bar: a median of figures, of ratios or of differences.
    fn value(&self, row: &Row, bar: &Bar) -> Option<f64> {
        let own = || self.figures(&row.name, &bar.contestant);
        let paired = |of: &Cell, make: fn(f64, f64) -> f64| {
            let values = own().filter_map(|(round, figure)| {
                let mut others = self.figures(&of.row, &of.contestant);
                let (_, other) = others.find(|(at, _)| *at == round)?;
                Some(make(figure, other))
            });
            Summary::of(values.collect::<Vec<f64>>()).map(|summary| summary.median)
        };
        match &bar.demand {
            Demand::AtLeast(_) | Demand::AtMost(_) => {
                self.summary(&row.name, &bar.contestant).map(|summary| summary.median)
            }
            Demand::Over(_, of) => paired(of, |figure, other| figure - other),
            Demand::TimesAtLeast(_, of) | Demand::TimesAtMost(_, of) => {
                // Of nothing there is no multiple: `Summary` leaves out what is not finite.
                paired(of, |figure, other| figure / other)
            }
        }
    }
}

impl Demand {
    fn is_met_by(&self, value: f64) -> bool {
        match self {
            Self::AtLeast(bar) | Self::TimesAtLeast(bar, _) => value >= *bar,
            Self::AtMost(bar) | Self::Over(bar, _) | Self::TimesAtMost(bar, _) => value <= *bar,
        }
    }

    /// The figure that it is held against, if that is another one.
    pub(super) fn cell(&self) -> Option<&Cell> {
        match self {
            Self::AtLeast(_) | Self::AtMost(_) => None,
            Self::Over(_, of) | Self::TimesAtLeast(_, of) | Self::TimesAtMost(_, of) => Some(of),
        }
    }
}
