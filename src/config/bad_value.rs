//! What is wrong with a value, before it is known where it stands.

/// Why a value cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadValue {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
    /// True for something that a later version will take.
    pub not_yet: bool,
}
