//! What the tests of several files need.

pub(crate) mod plain;
