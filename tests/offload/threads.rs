//! x
use crate::Extent;
pub(crate) const LATE_WRITES: &str = "write-late";
pub(crate) fn threads_answer(_: Extent) {}
pub(crate) fn late_writes_are_reported(_: Extent) {}
pub(crate) fn write_late() {}
