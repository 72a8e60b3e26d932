//! What one CPU can burn at most: the same 10 ms again and again, in a process of its own.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::arguments::Arguments;
use crate::client;

/// Burns in each second on this CPU.
pub(super) fn measure(cpu: usize) -> Result<f64, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(COMMAND).args(["--seconds", &SECONDS.to_string()]);
    Ok(client::run(&mut command, cpu)?.trim().parse()?)
}

/// The command of the burner, which nobody types.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let seconds: f64 = arguments.value("--seconds")?.ok_or("--seconds is missing")?;
    arguments.finish()?;
    let time = Duration::try_from_secs_f64(seconds)?;
    let began = Instant::now();
    let mut burns = 0_u32;
    while began.elapsed() < time {
        burn();
        burns += 1;
    }
    println!("{}", f64::from(burns) / began.elapsed().as_secs_f64());
    Ok(true)
}

/// CPU time of this thread, as every server of the comparison burns it.
fn burn() {
    let end = thread_time() + BURN;
    while thread_time() < end {
        std::hint::spin_loop();
    }
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}

pub(crate) const COMMAND: &str = "burner";
const BURN: Duration = Duration::from_millis(10);
const SECONDS: f64 = 3.0;
