//! What was read off one subject under one load: the part of a window that a load fills.
//!
//! A load is a function like
//! `measure(&mut Running, client_cpu, ...) -> Result<Reading, Box<dyn Error>>`; what it returns as
//! an error is why the subject failed in this column.

use std::collections::BTreeMap;

use crate::result::Quantity;

/// Figures, and what a reader must know beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    pub(crate) figures: BTreeMap<Quantity, f64>,
    /// Right answers.
    pub(crate) requests: u64,
    /// Length of one answer on the wire, head and body.
    pub(crate) answer_bytes: u64,
    /// What went wrong, and how often, by kind.
    pub(crate) errors: BTreeMap<String, u64>,
    /// What coloured the figures, such as a generator that was late.
    pub(crate) disturbances: Vec<String>,
    /// Percentile (0 to 100) and microseconds.
    pub(crate) percentiles: Vec<(f64, f64)>,
}
