//! What is wrong with the settings, in a form that a person can act on.

use std::fmt;

use super::settings::Origin;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// A stable code, for searching and explaining.
    pub code: &'static str,
    /// The setting, as `table.key`; empty when the fault is not about one.
    pub key: String,
    /// Where the value stands.
    pub origin: Origin,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: ", self.code)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.message)?;
        write!(f, "\n --> {}", self.origin)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "\n  = help: {}", self.fix) }
    }
}

/// Everything that is wrong, found in one run. Never empty where it is an error.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// True when every fault stands on the command line, which makes it a matter of usage.
    #[must_use]
    pub fn only_flags(&self) -> bool {
        self.0.iter().all(|fault| matches!(fault.origin, Origin::Flag(_)) && fault.is_about_form())
    }
}

impl Fault {
    /// True for a value that cannot be read, false for one that does not fit the machine.
    fn is_about_form(&self) -> bool {
        self.code.starts_with("E01")
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The file cannot be read at all.
pub(super) const UNREADABLE: &str = "E0100";
/// The file is not TOML.
pub(super) const SYNTAX: &str = "E0101";
/// A table that does not exist.
pub(super) const UNKNOWN_TABLE: &str = "E0102";
/// A key that does not exist.
pub(super) const UNKNOWN_KEY: &str = "E0103";
/// A value of another type than the option takes.
pub(super) const WRONG_TYPE: &str = "E0104";
/// A value that cannot be read or is out of bounds.
pub(super) const BAD_VALUE: &str = "E0105";
/// Something that a later version will have.
pub(super) const NOT_YET: &str = "E0106";
/// More shards than CPUs.
pub(super) const TOO_MANY_SHARDS: &str = "E0201";
/// A CPU that cannot be used.
pub(super) const CPU_UNUSABLE: &str = "E0202";
/// The same address twice.
pub(super) const ADDRESS_TWICE: &str = "E0203";
/// Two addresses of which one contains the other.
pub(super) const ADDRESSES_OVERLAP: &str = "E0204";
/// A CPU that two wishes claim.
pub(super) const CPU_TWICE: &str = "E0210";
/// `cores.use` leaves no CPU.
pub(super) const USE_LEAVES_NOTHING: &str = "E0211";
/// `cores.reserve` leaves no CPU.
pub(super) const RESERVE_TAKES_ALL: &str = "E0212";
/// CPUs are named, and nobody is to be pinned.
pub(super) const PIN_CONTRADICTS: &str = "E0213";
/// A cache or a node that this machine does not have.
pub(super) const NO_SUCH_GROUP: &str = "E0214";
