//! The protocol as a whole: in a simulated machine, under a model of the memory, on garbage.

mod actors;
mod garbage;
mod kernels;
mod machine;
pub(crate) mod memory;
mod messages;
mod plain;
mod roles;
mod simulation;
mod talk;

use super::word::{Life, Owner};

/// What a shard would believe that remembers only the last death of each place.
pub(super) fn as_if_only_the_last_had_died(life: Life, owner: Owner) -> Life {
    let last_dead = life.incarnation.wrapping_sub(u64::from(life.alive));
    let died = Life { incarnation: last_dead, alive: false };
    let lives = Life { incarnation: owner.incarnation.into(), alive: true };
    if died.short() == owner.incarnation { died } else { lives }
}
