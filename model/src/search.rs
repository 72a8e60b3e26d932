//! The checker: every state that a protocol can reach, and for each whether it can still finish.
//!
//! It knows nothing of slots and workers. A protocol says where it starts, which accesses may come
//! next, and when it has finished. Search is breadth first, so that every trace is a shortest one.
//! Memory is sequentially consistent here: what a missing fence breaks is not for this checker.

use crate::packing::Packed;
use crate::store::{Number, Store};

/// What is checked.
pub(crate) trait Protocol {
    type State: Copy;

    fn initial(&self) -> Self::State;
    fn pack(&self, state: &Self::State) -> Packed;
    fn unpack(&self, packed: Packed) -> Self::State;

    /// All that may happen next: of each actor its next access to what is shared.
    fn steps(&self, state: &Self::State, steps: &mut Vec<Step<Self::State>>);

    /// All work is done and everybody may rest.
    fn finished(&self, state: &Self::State) -> bool;

    /// A step in words, for a trace.
    fn explain(&self, before: &Self::State, step: &Step<Self::State>) -> String;
}

/// One access, by one actor.
pub(crate) struct Step<S> {
    pub(crate) actor: &'static str,
    pub(crate) kind: Kind,
    /// What it leads to, or the rule that it breaks.
    pub(crate) after: Result<S, Violation>,
}

/// Whether finishing may rest on a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It happens if its actor goes on.
    Sure,
    /// It may never happen: a crash, a new request, a client that leaves. A protocol that needs
    /// one of these to finish is stuck.
    Chance,
}

/// A rule that a step broke.
pub(crate) type Violation = &'static str;

/// What a search has found.
pub(crate) struct Report {
    pub(crate) states: usize,
    pub(crate) steps: u64,
    pub(crate) bytes: usize,
    pub(crate) verdict: Verdict,
}

#[derive(Debug)]
pub(crate) enum Verdict {
    /// No rule is broken, and every state that can be reached can finish.
    Holds,
    /// A step broke a rule.
    Broken { rule: Violation, trace: Vec<String> },
    /// The trace leads to a state from which nothing finishes any more.
    Wedged { trace: Vec<String> },
    /// There are more states than the search was allowed.
    TooLarge,
}

/// Looks at every state that the protocol can reach, at most `states_max` of them.
pub(crate) fn search<P: Protocol>(protocol: &P, states_max: usize) -> Report {
    let mut search = Search::of(protocol);
    let verdict = search.explore(states_max).unwrap_or_else(|| search.judge());
    Report { states: search.store.len(), steps: search.steps, bytes: search.bytes(), verdict }
}

struct Search<'a, P: Protocol> {
    protocol: &'a P,
    store: Store,
    /// Steps that lead from one state to another.
    steps: u64,
    /// Where the sure steps lead, state after state.
    sure: Vec<Number>,
    /// Where those of each state end.
    ends: Vec<u32>,
    /// A bit for each state that can finish.
    hopeful: Vec<u64>,
}

impl<'a, P: Protocol> Search<'a, P> {
    fn of(protocol: &'a P) -> Self {
        let (store, sure, ends, hopeful) = (Store::new(), Vec::new(), Vec::new(), Vec::new());
        Self { protocol, store, steps: 0, sure, ends, hopeful }
    }

    fn bytes(&self) -> usize {
        let numbers = self.sure.len() + self.ends.len();
        self.store.bytes() + numbers * size_of::<Number>() + self.hopeful.len() * size_of::<u64>()
    }

    /// Numbers every state that can be reached; a verdict only if that ended early.
    fn explore(&mut self, states_max: usize) -> Option<Verdict> {
        self.store.insert(self.protocol.pack(&self.protocol.initial()), 0);
        let mut steps = Vec::new();
        let mut number: Number = 0;
        while (number as usize) < self.store.len() {
            if self.store.len() > states_max {
                return Some(Verdict::TooLarge);
            }
            let before = self.protocol.unpack(self.store.state(number));
            if number.is_multiple_of(64) {
                self.hopeful.push(0);
            }
            if self.protocol.finished(&before) {
                self.give_hope(number);
            }
            self.protocol.steps(&before, &mut steps);
            self.steps += steps.len() as u64;
            for step in steps.drain(..) {
                let Ok(after) = &step.after else {
                    return Some(self.broken(number, &step));
                };
                let after = self.store.insert(self.protocol.pack(after), number);
                if step.kind == Kind::Sure {
                    self.sure.push(after);
                }
            }
            self.ends.push(u32::try_from(self.sure.len()).expect("below 2^32 sure steps"));
            number += 1;
        }
        None
    }

    fn broken(&self, number: Number, step: &Step<P::State>) -> Verdict {
        let rule = step.after.as_ref().err().expect("the step broke a rule");
        let mut trace = self.trace(number);
        trace.push(self.protocol.explain(&self.protocol.unpack(self.store.state(number)), step));
        Verdict::Broken { rule, trace }
    }

    /// Spreads hope backwards from the finished states. Most steps lead to higher numbers, so that
    /// a few sweeps from the end suffice.
    fn judge(&mut self) -> Verdict {
        let mut changed = true;
        while changed {
            changed = false;
            for number in (0..self.store.len() as Number).rev() {
                let hope = |&after: &Number| self.is_hopeful(after);
                if !self.is_hopeful(number) && self.sure_steps(number).iter().any(hope) {
                    self.give_hope(number);
                    changed = true;
                }
            }
        }
        match self.doomed() {
            Some(number) => Verdict::Wedged { trace: self.trace(number) },
            None => Verdict::Holds,
        }
    }

    fn sure_steps(&self, number: Number) -> &[Number] {
        let end = |number: Number| self.ends[number as usize] as usize;
        let start = number.checked_sub(1).map_or(0, end);
        &self.sure[start..end(number)]
    }

    fn is_hopeful(&self, number: Number) -> bool {
        self.hopeful[number as usize / 64] >> (number % 64) & 1 == 1
    }

    fn give_hope(&mut self, number: Number) {
        self.hopeful[number as usize / 64] |= 1 << (number % 64);
    }

    /// The first state without hope in which nobody moves any more (the trace to it shows all that
    /// went wrong), or else the first without hope.
    fn doomed(&self) -> Option<Number> {
        let mut all = (0..self.store.len() as Number).filter(|&number| !self.is_hopeful(number));
        let silent = all.clone().find(|&number| self.sure_steps(number).is_empty());
        silent.or_else(|| all.next())
    }

    /// The steps from the initial state to this one, in words.
    fn trace(&self, last: Number) -> Vec<String> {
        let mut path = vec![last];
        while let Some(parent) = self.store.parent(path[path.len() - 1]) {
            path.push(parent);
        }
        path.reverse();
        path.windows(2).map(|pair| self.explain(pair[0], pair[1])).collect()
    }

    fn explain(&self, from: Number, to: Number) -> String {
        let before = self.protocol.unpack(self.store.state(from));
        let mut steps = Vec::new();
        self.protocol.steps(&before, &mut steps);
        let leads = |step: &&Step<P::State>| {
            let packed = step.after.as_ref().map(|after| self.protocol.pack(after));
            packed == Ok(self.store.state(to))
        };
        let step = steps.iter().find(leads).expect("a state was found from its parent");
        let text = self.protocol.explain(&before, step);
        // Hope has been spread only when every state was looked at.
        let judged = self.ends.len() == self.store.len();
        let lost = judged && self.is_hopeful(from) && !self.is_hopeful(to);
        if lost { format!("{text}   <- from here on it cannot finish") } else { text }
    }
}

#[cfg(test)]
mod tests;
