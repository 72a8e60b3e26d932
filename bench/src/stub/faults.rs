//! Which answers go wrong, and how.

use crate::arguments::Arguments;

/// Every so many requests to `/plaintext` end in this way; 0 is never.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    close: u64,
    cut: u64,
    never: u64,
    wrong_content: u64,
    wrong_status: u64,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Manner {
    /// The connection is closed instead.
    Close,
    /// Half of the answer, and then the connection is closed.
    Cut,
    /// Not at all, and the connection stays.
    Never,
    Right,
    /// One letter is another.
    WrongContent,
    /// 500.
    WrongStatus,
}

impl Faults {
    pub(super) fn from_arguments(given: &mut Arguments) -> Result<Self, String> {
        let mut every = |name: &str| given.value(name).map(|count| count.unwrap_or(0));
        Ok(Self {
            close: every("--close-every")?,
            cut: every("--cut-every")?,
            never: every("--never-every")?,
            wrong_content: every("--wrong-content-every")?,
            wrong_status: every("--wrong-status-every")?,
        })
    }

    /// Of the request with this number, from 1. Where several would, the first of the list wins.
    pub(super) fn manner(&self, number: u64) -> Manner {
        let hits = |every: u64| every > 0 && number.is_multiple_of(every);
        match () {
            () if hits(self.close) => Manner::Close,
            () if hits(self.cut) => Manner::Cut,
            () if hits(self.never) => Manner::Never,
            () if hits(self.wrong_content) => Manner::WrongContent,
            () if hits(self.wrong_status) => Manner::WrongStatus,
            () => Manner::Right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_when_they_are_due() {
        let faults = Faults { cut: 4, wrong_status: 2, ..Faults::default() };
        let manners: Vec<Manner> = (1..=4).map(|number| faults.manner(number)).collect();
        assert_eq!(manners, [Manner::Right, Manner::WrongStatus, Manner::Right, Manner::Cut]);
        assert_eq!(Faults::default().manner(12), Manner::Right);
    }
}
