//! x
use crate::Extent;
pub(crate) fn nothing_is_lost_in_a_storm(_: Extent) {}
