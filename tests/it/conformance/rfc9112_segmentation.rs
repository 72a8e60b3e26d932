//! RFC 9112 2.1: a message is a sequence of bytes; how they are cut into segments means nothing.
//! All tables again, in single bytes, in random pieces, and in two pieces at many places.

use super::case::{Cut, run_cut};
use super::{address, all_cases};

#[test]
fn single_bytes_give_the_same_answers() {
    run_cut(address(), &all_cases(), Cut::EveryByte);
}

#[test]
fn random_pieces_give_the_same_answers() {
    let cases = all_cases();
    for seed in 1..=6 {
        run_cut(address(), &cases, Cut::Random(seed));
    }
}

#[test]
fn two_pieces_give_the_same_answers() {
    let cases = all_cases();
    for share in (8..256).step_by(16) {
        run_cut(address(), &cases, Cut::Two(u8::try_from(share).expect("below 256")));
    }
}
