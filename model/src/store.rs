//! The states that were found: each once, numbered in the order of discovery, with the state that
//! it was first reached from.

use crate::packing::Packed;

/// The number of a state: 0 is the initial one.
pub(crate) type Number = u32;

/// An open-addressing table of numbers over an arena of states, 33 to 39 bytes for each in all.
pub(crate) struct Store {
    states: Vec<Packed>,
    /// The state from which each was found first.
    parents: Vec<Number>,
    /// Numbers by hash; a power of two, at most three quarters full.
    table: Vec<Number>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { states: Vec::new(), parents: Vec::new(), table: vec![NOBODY; 1 << 10] }
    }

    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len() * (size_of::<Packed>() + size_of::<Number>())
            + self.table.len() * size_of::<Number>()
    }

    pub(crate) fn state(&self, number: Number) -> Packed {
        self.states[number as usize]
    }

    pub(crate) fn parent(&self, number: Number) -> Option<Number> {
        (number != 0).then(|| self.parents[number as usize])
    }

    /// The number of a state, which is a new one if the state is.
    pub(crate) fn insert(&mut self, state: Packed, parent: Number) -> Number {
        if (self.len() + 1) * 4 > self.table.len() * 3 {
            self.grow();
        }
        let place = self.place(state);
        if self.table[place] != NOBODY {
            return self.table[place];
        }
        let number = Number::try_from(self.len()).expect("the bound on states is below 2^32");
        self.states.push(state);
        self.parents.push(parent);
        self.table[place] = number;
        number
    }

    /// Where the state stands in the table, or the gap where it belongs.
    fn place(&self, state: Packed) -> usize {
        let mask = self.table.len() - 1;
        let mut place = hash(state) as usize & mask;
        while self.table[place] != NOBODY && self.state(self.table[place]) != state {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let doubled = self.table.len() * 2;
        // Given back first: the old table is of no use for filling the new one.
        self.table = Vec::new();
        self.table = vec![NOBODY; doubled];
        for number in 0..self.len() as Number {
            let mut place = hash(self.state(number)) as usize & (doubled - 1);
            while self.table[place] != NOBODY {
                place = (place + 1) & (doubled - 1);
            }
            self.table[place] = number;
        }
    }
}

/// Multiply and fold: states differ in few bits, and every one of them must count.
fn hash(state: Packed) -> u64 {
    state.iter().fold(0x9e37_79b9_7f4a_7c15, |hash, word| {
        let product = u128::from(hash ^ word) * 0xa076_1d64_78bd_642f;
        (product >> 64) as u64 ^ product as u64
    })
}

const NOBODY: Number = Number::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_one_number_however_often_it_is_found() {
        let mut store = Store::new();
        let state = |n: u64| [n % 7, n, n << 40];
        for n in 0..100_000 {
            assert_eq!(u64::from(store.insert(state(n), 0)), n);
        }
        for n in (0..100_000).rev() {
            assert_eq!(u64::from(store.insert(state(n), 1)), n);
        }
        assert_eq!(store.len(), 100_000);
    }
}
