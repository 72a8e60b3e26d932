//! Every way this program ends, as one enum: the numbers are a promise to service managers.

use std::process::{ExitCode, Termination};

/// How a corewise process ends. The discriminant is the exit code.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// A clean stop.
    Clean = 0,
    /// A check found something.
    Found = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// No worker could boot.
    NoWorker = 3,
    /// The application could not be loaded.
    AppLoad = 4,
    /// The engine is not available here, for example because io_uring is forbidden.
    Unavailable = 69,
    /// The system refused something at the start: a port, memory, a descriptor.
    System = 71,
    /// Processes died before they were ready, again and again; trying later may help.
    CrashLoop = 75,
    /// A permission is missing, for a port, a user or a CPU.
    Permission = 77,
    /// The configuration is wrong; starting again without changing it cannot help.
    Config = 78,
    /// A bug of corewise: a panic in the supervisor, or one that ended a child.
    Bug = 101,
    /// A second interrupt stopped everything at once.
    Interrupted = 130,
}

impl Exit {
    /// All ways, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Clean,
        Self::Found,
        Self::Usage,
        Self::NoWorker,
        Self::AppLoad,
        Self::Unavailable,
        Self::System,
        Self::CrashLoop,
        Self::Permission,
        Self::Config,
        Self::Bug,
        Self::Interrupted,
    ];

    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The exit with this code, if it is one of ours.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }

    /// True when starting again without a change cannot end otherwise: a supervisor that sees
    /// this from a child before anything was ready passes it on instead of trying again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::AppLoad | Self::Unavailable | Self::System | Self::Permission | Self::Config
        )
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_found_again() {
        for pair in Exit::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code());
        }
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), Some(exit));
        }
        assert_eq!(Exit::from_code(5), None);
    }

    #[test]
    fn the_documented_numbers_stay() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 69, 71, 75, 77, 78, 101, 130]);
    }
}
