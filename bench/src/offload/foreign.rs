//! Ways that other software has: programs that measure themselves and print the median in
//! nanoseconds.

use std::process::Command;
use std::time::Duration;

use super::way::{Fault, Setup};
use crate::client;
use crate::subject::find_program;

/// Somebody else's way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Foreign {
    Iceoryx,
    PythonPipe,
    PythonPool,
}

impl Foreign {
    pub(super) const ALL: [Self; 3] = [Self::Iceoryx, Self::PythonPipe, Self::PythonPool];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Iceoryx => "iceoryx2",
            Self::PythonPipe => "python-pipe",
            Self::PythonPool => "python-pool",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Iceoryx => "iceoryx2, request and response",
            Self::PythonPipe => "Python, multiprocessing.Pipe",
            Self::PythonPool => "Python, ProcessPoolExecutor",
        }
    }

    /// Why it cannot be measured here, and what changes that.
    pub(super) fn missing(self) -> Option<String> {
        let (program, fix) = self.program();
        find_program(program).is_none().then(|| format!("{program} is not here; {fix}"))
    }

    const fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Iceoryx => ("peer-iceoryx2", "make peers"),
            Self::PythonPipe | Self::PythonPool => ("python3", "apt-get install python3"),
        }
    }

    pub(super) fn measure(self, setup: Setup, asker: usize, time: Duration) -> Result<f64, Fault> {
        let program = find_program(self.program().0).ok_or("it is not here any more")?;
        let mut command = Command::new(program);
        if self != Self::Iceoryx {
            command.args(["-c", SCRIPT, self.name()]);
        }
        command.args([asker.to_string(), setup.cpu.to_string(), setup.bytes.to_string()]);
        command.arg(time.as_secs_f64().to_string());
        let printed = client::run(&mut command, asker)?;
        printed.trim().parse().map_err(|_| format!("it printed {printed:?}").into())
    }
}

const SCRIPT: &str = include_str!("../../python/round_trip.py");
