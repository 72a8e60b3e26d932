//! What a person sees at the start: one screen on standard error, one ready line on standard
//! output.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use crate::config::cpus::cpu_list;
use crate::config::placement::{self, WorkerPlace};
use crate::net::listener::Endpoint;

/// Everything that the screen shows.
#[derive(Debug)]
pub(super) struct Screen<'a> {
    pub(super) version: &'a str,
    pub(super) pid: u32,
    pub(super) engine: &'a str,
    pub(super) kernel: &'a str,
    pub(super) file: Option<&'a str>,
    pub(super) endpoints: &'a [Endpoint],
    pub(super) backlog: u32,
    /// The CPU of each shard, if it is pinned.
    pub(super) cpus: &'a [Option<usize>],
    pub(super) usable_cpus: usize,
    pub(super) pools: Vec<PoolRow<'a>>,
    pub(super) notes: &'a [Note],
}

/// A pool with its workers.
#[derive(Debug)]
pub(super) struct PoolRow<'a> {
    pub(super) name: &'a str,
    /// What it runs.
    pub(super) runs: &'static str,
    pub(super) workers: &'a [WorkerPlace],
}

impl PoolRow<'_> {
    /// "3 workers on CPUs 0-1, 1 in the background".
    pub(super) fn places(&self) -> String {
        let at_start = self.workers.iter().filter(|worker| !worker.on_demand);
        let count = at_start.clone().count();
        let mut cpus: Vec<usize> = at_start.clone().filter_map(|worker| worker.cpu).collect();
        cpus.sort_unstable();
        cpus.dedup();
        let mut text = format!("{count} {}", plural(count, "worker"));
        text += &match cpus.as_slice() {
            [] => ", not pinned".to_owned(),
            cpus => format!(" on {} {}", plural(cpus.len(), "CPU"), cpu_list(cpus)),
        };
        let background = at_start.filter(|worker| worker.background).count();
        if background > 0 {
            let how_many =
                if background == count { String::new() } else { format!("{background} ") };
            text += &format!(", {how_many}in the background");
        }
        text
    }
}

/// Something that is not as it was asked for, or that one should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Note {
    pub(super) message: String,
    /// What to do about it; empty if nothing.
    pub(super) fix: String,
}

impl From<&placement::Note> for Note {
    fn from(note: &placement::Note) -> Self {
        Self { message: note.message.clone(), fix: note.fix.clone() }
    }
}

impl Screen<'_> {
    /// The screen, with an empty line before and behind its middle part.
    pub(super) fn render(&self) -> String {
        let mut text = format!(
            "corewise {}   pid {}   {} (kernel {})   {}\n\n",
            self.version,
            self.pid,
            self.engine,
            short_kernel(self.kernel),
            self.file.unwrap_or("no configuration file"),
        );
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let backlog = format!("{} backlog per shard", self.backlog);
            let right = if index == 0 { backlog } else { String::new() };
            row(
                &mut text,
                if index == 0 { "listening" } else { "" },
                &endpoint.to_string(),
                &right,
            );
        }
        let usable = format!("{} {} usable", self.usable_cpus, plural(self.usable_cpus, "CPU"));
        row(&mut text, "shards", &self.shards(), &usable);
        for pool in &self.pools {
            row(&mut text, &format!("pool {}", pool.name), pool.runs, &pool.places());
        }
        for note in self.notes {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  note  {}", note.message);
            if !note.fix.is_empty() {
                let _ = write!(text, "\n        fix: {}", note.fix);
            }
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text
    }

    fn shards(&self) -> String {
        let mut cpus: Vec<usize> = self.cpus.iter().copied().flatten().collect();
        cpus.sort_unstable();
        if cpus.is_empty() {
            return format!("{}, not pinned", self.cpus.len());
        }
        format!("{} on {} {}", self.cpus.len(), plural(cpus.len(), "CPU"), cpu_list(&cpus))
    }
}

/// Writes to standard error. Where that is closed, there is nobody to show anything to.
pub(super) fn show(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The line that says how long the start took.
pub(super) fn ready_in(time: Duration) -> String {
    format!("\n  ready in {:.2} s\n", time.as_secs_f64())
}

/// The one line on standard output.
pub(super) fn ready_line(endpoints: &[Endpoint], pid: u32, json: bool) -> String {
    let urls: Vec<String> = endpoints.iter().map(Endpoint::to_string).collect();
    if json {
        let object = serde_json::json!({ "event": "ready", "pid": pid, "urls": urls });
        return format!("{object}\n");
    }
    format!("ready {}\n", urls.join(" "))
}

fn row(text: &mut String, name: &str, left: &str, right: &str) {
    let line = format!("  {name:<11} {left:<32} {right}");
    text.push_str(line.trim_end());
    text.push('\n');
}

fn plural(count: usize, noun: &str) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

/// `6.18.44-custom` as `6.18`.
fn short_kernel(release: &str) -> &str {
    let end = release.match_indices('.').nth(1).map_or(release.len(), |(index, _)| index);
    &release[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_calm_and_aligned() {
        let endpoints = [tcp("127.0.0.1:8000"), tcp("[::1]:8000")];
        let note = |message: &str, fix: &str| Note { message: message.into(), fix: fix.into() };
        let notes = [note("it is late", "sleep"), note("the sun shines", "")];
        let workers = [worker(Some(1), true, false), worker(Some(2), false, false)];
        let screen = Screen {
            version: "0.1.0",
            pid: 4711,
            engine: "io_uring",
            kernel: "6.18.44-x",
            file: Some("corewise.toml"),
            endpoints: &endpoints,
            backlog: 4096,
            cpus: &[Some(0), Some(1)],
            usable_cpus: 16,
            pools: vec![PoolRow { name: "cpu", runs: "native", workers: &workers }],
            notes: &notes,
        };
        let expected = "\
corewise 0.1.0   pid 4711   io_uring (kernel 6.18)   corewise.toml

  listening   http://127.0.0.1:8000            4096 backlog per shard
              http://[::1]:8000
  shards      2 on CPUs 0-1                    16 CPUs usable
  pool cpu    native                           2 workers on CPUs 1-2, 1 in the background

  note  it is late
        fix: sleep
  note  the sun shines
";
        assert_eq!(screen.render(), expected);
    }

    fn tcp(text: &str) -> Endpoint {
        Endpoint::Tcp(text.parse().unwrap())
    }

    fn worker(cpu: Option<usize>, background: bool, on_demand: bool) -> WorkerPlace {
        WorkerPlace {
            cpu,
            l3: None,
            node: None,
            background,
            shared: background,
            spins: false,
            on_demand,
        }
    }

    #[test]
    fn pools_say_where_their_workers_are() {
        let places =
            |workers: &[WorkerPlace]| PoolRow { name: "cpu", runs: "native", workers }.places();
        assert_eq!(places(&[worker(None, false, false)]), "1 worker, not pinned");
        let one_later = [worker(Some(3), false, false), worker(Some(4), false, true)];
        assert_eq!(places(&one_later), "1 worker on CPU 3");
        let behind = [worker(Some(0), true, false), worker(Some(0), true, false)];
        assert_eq!(places(&behind), "2 workers on CPU 0, in the background");
    }

    #[test]
    fn the_ready_line_names_every_address() {
        let endpoints = [tcp("127.0.0.1:8000"), tcp("[::1]:81")];
        let plain = ready_line(&endpoints, 7, false);
        assert_eq!(plain, "ready http://127.0.0.1:8000 http://[::1]:81\n");
        let object: serde_json::Value =
            serde_json::from_str(&ready_line(&endpoints, 7, true)).unwrap();
        assert_eq!(object["event"], "ready");
        assert_eq!(object["pid"], 7);
        assert_eq!(object["urls"][1], "http://[::1]:81");
    }
}
