//! Bodies of every length at which their way through shared memory changes.

use super::ask::{Ask, SLOT_BYTES};
use super::clients::ask_all;
use super::{BLOCK_BYTES, BLOCKS, BORDERS, CLIENTS, Pool, demo, echoes};
use crate::harness::heavy;

/// A message is its body and a head whose length a test does not know, so that the border of a
/// slot or of the blocks lies somewhere below the length that it is named after.
const HEAD_BYTES: u64 = 700;

#[test]
fn bodies_of_every_length_by_every_way() {
    let _alone = heavy();
    let pool = Pool::start(demo());
    let expect_echoed = |what: &str, lengths: &mut dyn Iterator<Item = u64>| {
        let asks = lengths.flat_map(echoes).collect();
        ask_all(pool.server.address, CLIENTS, asks).expect_all_right(what);
    };
    let twice = BORDERS.iter().flat_map(|&bytes| [bytes, bytes]);
    expect_echoed("bodies at all borders", &mut twice.chain([1 << 20, 3 << 20]));
    let slot = SLOT_BYTES - HEAD_BYTES..=SLOT_BYTES + 2;
    expect_echoed("bodies around a slot", &mut slot.chain(0..20));
    let block = BLOCK_BYTES - HEAD_BYTES..=BLOCK_BYTES + 2;
    expect_echoed("bodies around a block", &mut block.step_by(7));
    let around = |blocks: u64| {
        let end = blocks * BLOCK_BYTES;
        (end - HEAD_BYTES..=end + 2).step_by(61)
    };
    expect_echoed("bodies around all blocks", &mut BLOCKS.into_iter().flat_map(around));
    pool.expect_as_before("bodies of every length");
    pool.server.stop();
}

#[test]
fn answers_in_pieces_of_every_size() {
    let _alone = heavy();
    let pool = Pool::start(demo());
    let sizes = [1, 63, 64, 65, SLOT_BYTES, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 1 << 20];
    let counts = [0, 1, 2, 7, 8, 9, 16, 17];
    let asks = sizes.iter().flat_map(|&bytes| counts.map(|chunks| Ask::stream(chunks, bytes)));
    let many = [Ask::stream(3000, 1), Ask::stream(500, SLOT_BYTES), Ask::stream(160, BLOCK_BYTES)];
    let asks = asks.chain(many).collect();
    ask_all(pool.server.address, CLIENTS, asks).expect_all_right("pieces of every size");
    pool.expect_as_before("pieces of every size");
    pool.server.stop();
}
