//! One test per fixed issue, named after it: `issue_12_a_head_split_behind_its_cr_was_refused`.
//!
//! The rule: a fix comes with its test in the same commit; the test fails without the fix, goes
//! through the interface that the report used, and says in its first line what was seen and what
//! is right. Nothing is removed from here when the code around it is rewritten.
