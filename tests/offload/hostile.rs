//! x
use crate::Extent;
pub(crate) fn a_shard_lives_beside_a_hostile_worker(_: Extent) {}
