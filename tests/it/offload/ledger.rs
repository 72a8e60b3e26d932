//! Every request has exactly one end, and here it stands.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// A whole answer with this status; a 200 was right in every byte.
    Answered(u16),
    /// The connection ended inside the answer.
    Cut,
    /// The client left, as it was told to.
    Left,
    /// The connection ended before the first byte of the answer.
    Lost,
    /// No connection could be made.
    Refused,
    /// Nothing came for longer than anything may take.
    Silent,
    /// What came is no answer, or not this one.
    Wrong,
}

/// The end of one request.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) kind: &'static str,
    pub(super) fate: Fate,
    /// For people.
    pub(super) note: String,
    pub(super) took: Duration,
}

impl Entry {
    pub(super) fn is_right(&self) -> bool {
        self.fate == Fate::Answered(200)
    }
}

impl Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { id, kind, fate, note, took } = self;
        write!(formatter, "{kind} {id:#x} ended as {fate:?} after {took:?} {note}")
    }
}

/// All requests of a load by number; no two of a test process have the same.
#[derive(Debug)]
pub(super) struct Ledger {
    first: u64,
    entries: Vec<Option<Entry>>,
}

impl Ledger {
    pub(super) fn new() -> Ledger {
        static LEDGERS: AtomicU64 = AtomicU64::new(1);
        let first = LEDGERS.fetch_add(1, Ordering::Relaxed) * REQUESTS_MAX;
        Ledger { first, entries: vec![] }
    }

    /// The number of the next request.
    pub(super) fn open(&mut self) -> u64 {
        let id = self.first + self.entries.len() as u64;
        self.entries.push(None);
        id
    }

    /// The end of a request; there is no second one.
    pub(super) fn settle(&mut self, entry: Entry) {
        let place = (entry.id - self.first) as usize;
        let earlier = self.entries[place].replace(entry);
        assert!(earlier.is_none(), "a request ended twice: {earlier:?}");
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|entry| entry.as_ref().expect("every request has ended"))
    }

    pub(super) fn count(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.entries().filter(|entry| wanted(entry)).count()
    }

    /// Some requests were made, and each ended in a way that is allowed.
    #[track_caller]
    pub(super) fn expect(&self, what: &str, allowed: impl Fn(&Entry) -> bool) {
        println!("{what}: {}", self.summary());
        assert!(!self.entries.is_empty(), "{what}: no request was made");
        let others: Vec<&Entry> = self.entries().filter(|entry| !allowed(entry)).collect();
        let first: Vec<String> = others.iter().take(5).map(ToString::to_string).collect();
        assert!(others.is_empty(), "{what}: {} ended wrongly: {first:#?}", others.len());
    }

    #[track_caller]
    pub(super) fn expect_all_right(&self, what: &str) {
        self.expect(what, Entry::is_right);
    }

    /// How many of each kind ended how.
    pub(super) fn summary(&self) -> String {
        let mut counts: BTreeMap<&str, BTreeMap<Fate, usize>> = BTreeMap::new();
        for entry in self.entries() {
            *counts.entry(entry.kind).or_default().entry(entry.fate).or_default() += 1;
        }
        let lines = counts.iter().map(|(kind, fates)| {
            let fates = fates.iter().map(|(fate, count)| match fate {
                Fate::Answered(status) => format!("{status} x {count}"),
                fate => format!("{fate:?} x {count}"),
            });
            format!("{kind} {}", fates.collect::<Vec<_>>().join(", "))
        });
        lines.collect::<Vec<_>>().join("; ")
    }
}

/// Of one ledger.
const REQUESTS_MAX: u64 = 1 << 20;
