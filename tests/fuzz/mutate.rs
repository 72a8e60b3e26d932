//! Mutants of a corpus, made with a dictionary of what matters to who reads it.

use crate::rng::Rng;

pub(crate) struct Mutator {
    corpus: Vec<Vec<u8>>,
    dictionary: &'static [&'static [u8]],
    /// Reused from draw to draw.
    work: Vec<u8>,
}

impl Mutator {
    pub(crate) fn new(corpus: Vec<Vec<u8>>, dictionary: &'static [&'static [u8]]) -> Self {
        Self { corpus, dictionary, work: Vec::new() }
    }

    /// One or two inputs behind each other, changed in a few places.
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> Vec<u8> {
        self.work.clear();
        self.work.extend_from_slice(rng.pick::<Vec<u8>>(&self.corpus));
        if rng.below(4) == 0 {
            self.work.extend_from_slice(rng.pick::<Vec<u8>>(&self.corpus));
        }
        for _ in 0..rng.below(6) {
            self.mutate(rng);
        }
        self.work.truncate(INPUT_BYTES_MAX);
        self.work.clone()
    }

    /// The same input, changed in one or two places.
    pub(crate) fn bend(&mut self, input: &[u8], rng: &mut Rng) -> Vec<u8> {
        self.work.clear();
        self.work.extend_from_slice(input);
        for _ in 0..1 + rng.below(2) {
            self.mutate(rng);
        }
        self.work.clone()
    }

    fn mutate(&mut self, rng: &mut Rng) {
        let at = rng.below(self.work.len() + 1);
        let span = at..(at + 1 + rng.below(8)).min(self.work.len()).max(at);
        match rng.below(11) {
            0 => drop(self.work.drain(span)),
            1 => {
                let copy = self.work[span].to_vec();
                insert(&mut self.work, at, &copy);
            }
            2..=4 => insert(&mut self.work, at, rng.pick::<&[u8]>(self.dictionary)),
            5 => drop(self.work.splice(span, rng.pick(self.dictionary).iter().copied())),
            6 => {
                if let Some(byte) = self.work.get_mut(at) {
                    *byte = *rng.pick(BYTES);
                }
            }
            7 => {
                if let Some(byte) = self.work.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            8 => self.move_line(rng),
            9 => {
                let other = rng.pick(&self.corpus);
                let from = rng.below(other.len() + 1);
                self.work.truncate(at);
                self.work.extend_from_slice(&other[from..]);
            }
            _ => self.change_digit(rng),
        }
    }

    /// Copies a line to where another begins.
    fn move_line(&mut self, rng: &mut Rng) {
        let ends = self.work.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts: Vec<usize> = ends.map(|(at, _)| at + 1).collect();
        if starts.len() < 2 {
            return;
        }
        let line = rng.below(starts.len() - 1);
        let copy = self.work[starts[line]..starts[line + 1]].to_vec();
        insert(&mut self.work, *rng.pick(&starts), &copy);
    }

    fn change_digit(&mut self, rng: &mut Rng) {
        let digits = self.work.iter_mut().filter(|byte| byte.is_ascii_digit());
        let digits: Vec<&mut u8> = digits.collect();
        if !digits.is_empty() {
            let chosen = rng.below(digits.len());
            let digit = *rng.pick(b"0123456789abF");
            if let Some(byte) = digits.into_iter().nth(chosen) {
                *byte = digit;
            }
        }
    }
}

fn insert(work: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    work.splice(at..at, bytes.iter().copied());
}

const INPUT_BYTES_MAX: usize = 2048;

const BYTES: &[u8] = b"\r\n\0\t \"#%()*+,-./019:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xff\x0b\x1f";
