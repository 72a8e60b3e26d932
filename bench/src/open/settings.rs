//! What the generator is asked for: read from its command line, and written as one by the runner.

use std::net::SocketAddr;

use crate::arguments::Arguments;

/// One load.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    /// The light requests.
    pub(crate) path: String,
    pub(crate) rate: f64,
    /// Kept alive, unless `new_connections`; a request that finds all busy waits.
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    /// One connection for each request.
    pub(crate) new_connections: bool,
    /// Exponential spacing from this seed; equal spacing without.
    pub(crate) poisson: Option<u64>,
    /// The second stream, on connections of its own.
    pub(crate) heavy: Option<Heavy>,
    /// The light client gives up this long after it has sent its request.
    pub(crate) leave_after_ms: Option<u64>,
    /// Each light request carries a number and is accounted for.
    pub(crate) ledger: bool,
    /// The first is right; the others are counted apart and are no errors.
    pub(crate) expect: Vec<u16>,
    /// What a right answer holds. Without it the answers are compared with one that was asked for
    /// before the load.
    pub(crate) body: Option<String>,
    /// From the intended moment.
    pub(crate) timeout_ms: u64,
    /// How long to wait for answers after the last intended moment.
    pub(crate) drain_ms: u64,
    /// Never sleep: timers of the kernel would colour the tail.
    pub(crate) spin: bool,
    /// Generator's own lateness that is still good, at the 99.9th percentile.
    pub(crate) lateness_max_us: u64,
}

/// Requests of another path beside the light ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heavy {
    pub(crate) path: String,
    /// So many connections, and without `rate` so many requests always in flight.
    pub(crate) connections: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) leave_after_ms: Option<u64>,
}

impl Settings {
    /// A plain load; everything else is a field to be changed.
    pub(crate) fn new(address: SocketAddr, path: &str, rate: f64) -> Self {
        Self {
            address,
            path: path.to_owned(),
            rate,
            connections: 32,
            seconds: 3.0,
            new_connections: false,
            poisson: None,
            heavy: None,
            leave_after_ms: None,
            ledger: false,
            expect: vec![200],
            body: None,
            timeout_ms: 5_000,
            drain_ms: 1_000,
            spin: true,
            lateness_max_us: 200,
        }
    }

    pub(crate) fn from_arguments(given: &mut Arguments) -> Result<Self, String> {
        let address = given.value("--address")?.ok_or("--address is needed: HOST:PORT")?;
        let path: String = given.value("--path")?.unwrap_or_else(|| "/plaintext".to_owned());
        let rate = positive(given, "--rate")?.ok_or("--rate is needed: requests per second")?;
        let plain = Self::new(address, &path, rate);
        let poisson = given.flag("--poisson");
        let seed: Option<u64> = given.value("--seed")?;
        if seed.is_some() && !poisson {
            return Err("--seed is for --poisson".to_owned());
        }
        let settings = Self {
            connections: count(given, "--connections")?.unwrap_or(plain.connections),
            seconds: positive(given, "--seconds")?.unwrap_or(plain.seconds),
            new_connections: given.flag("--new-connections"),
            poisson: poisson.then(|| seed.unwrap_or(1)),
            heavy: Heavy::from_arguments(given)?,
            leave_after_ms: given.value("--leave-after")?,
            ledger: given.flag("--ledger"),
            expect: expected(given)?.unwrap_or(plain.expect),
            body: given.value("--body")?,
            timeout_ms: given.value("--timeout")?.unwrap_or(plain.timeout_ms),
            drain_ms: given.value("--drain")?.unwrap_or(plain.drain_ms),
            spin: !given.flag("--sleep"),
            lateness_max_us: given.value("--late-max")?.unwrap_or(plain.lateness_max_us),
            ..plain
        };
        settings.check().map(|()| settings)
    }

    /// The words behind `corewise-bench open`, which `from_arguments` reads back.
    pub(crate) fn words(&self) -> Vec<String> {
        let plain = Self::new(self.address, &self.path, self.rate);
        let mut words = Words::default();
        words.value("--address", self.address);
        words.value("--path", &self.path);
        words.value("--rate", self.rate);
        words.value("--connections", self.connections);
        words.value("--seconds", self.seconds);
        words.flag("--new-connections", self.new_connections);
        words.flag("--poisson", self.poisson.is_some());
        words.option("--seed", self.poisson);
        if let Some(heavy) = &self.heavy {
            words.value("--heavy-path", &heavy.path);
            words.value("--heavy", heavy.connections);
            words.option("--heavy-rate", heavy.rate);
            words.option("--heavy-leave-after", heavy.leave_after_ms);
        }
        words.option("--leave-after", self.leave_after_ms);
        words.flag("--ledger", self.ledger);
        let expect: Vec<String> = self.expect.iter().map(u16::to_string).collect();
        words.option("--expect", (self.expect != plain.expect).then(|| expect.join(",")));
        words.option("--body", self.body.as_ref());
        words.unless("--timeout", self.timeout_ms, plain.timeout_ms);
        words.unless("--drain", self.drain_ms, plain.drain_ms);
        words.flag("--sleep", !self.spin);
        words.unless("--late-max", self.lateness_max_us, plain.lateness_max_us);
        words.0
    }

    fn check(&self) -> Result<(), String> {
        let requests = self.rate * self.seconds;
        if requests > REQUESTS_MAX {
            return Err(format!("--rate times --seconds is {requests}, above {REQUESTS_MAX}"));
        }
        let paths = [Some(&self.path), self.heavy.as_ref().map(|heavy| &heavy.path)];
        match paths.into_iter().flatten().find(|path| !is_path(path)) {
            Some(path) => Err(format!("{path:?} is no path: it begins with / and has no blanks")),
            None => Ok(()),
        }
    }
}

impl Heavy {
    fn from_arguments(given: &mut Arguments) -> Result<Option<Self>, String> {
        let path: Option<String> = given.value("--heavy-path")?;
        let connections = count(given, "--heavy")?;
        let rate = positive(given, "--heavy-rate")?;
        let leave_after_ms = given.value("--heavy-leave-after")?;
        match (path, connections) {
            (Some(path), Some(connections)) => {
                Ok(Some(Self { path, connections, rate, leave_after_ms }))
            }
            (None, None) if rate.is_none() && leave_after_ms.is_none() => Ok(None),
            _ => Err("--heavy-path and --heavy belong together".to_owned()),
        }
    }
}

/// A command line in the making.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn value(&mut self, name: &str, value: impl ToString) {
        self.0.extend([name.to_owned(), value.to_string()]);
    }

    fn option(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    fn unless(&mut self, name: &str, value: u64, default: u64) {
        self.option(name, (value != default).then_some(value));
    }

    fn flag(&mut self, name: &str, set: bool) {
        if set {
            self.0.push(name.to_owned());
        }
    }
}

fn positive(given: &mut Arguments, name: &str) -> Result<Option<f64>, String> {
    match given.value::<f64>(name)? {
        Some(value) if !(value.is_finite() && value > 0.0) => {
            Err(format!("{name} cannot be {value}: it is a number above 0"))
        }
        value => Ok(value),
    }
}

fn count(given: &mut Arguments, name: &str) -> Result<Option<usize>, String> {
    match given.value(name)? {
        Some(value) if !(1..=CONNECTIONS_MAX).contains(&value) => {
            Err(format!("{name} cannot be {value}: it is between 1 and {CONNECTIONS_MAX}"))
        }
        value => Ok(value),
    }
}

fn expected(given: &mut Arguments) -> Result<Option<Vec<u16>>, String> {
    let words = given.list("--expect")?;
    let statuses: Result<Vec<u16>, _> = words.iter().map(|word| word.parse()).collect();
    match statuses {
        Ok(statuses) => Ok((!statuses.is_empty()).then_some(statuses)),
        Err(_) => Err(format!("--expect cannot be {words:?}: it is a list of statuses")),
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// All moments are computed before the load begins: 16 bytes each.
const REQUESTS_MAX: f64 = 20e6;
const CONNECTIONS_MAX: usize = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[String]) -> Result<Settings, String> {
        let mut given = Arguments::of_words(words.to_vec());
        let settings = Settings::from_arguments(&mut given)?;
        given.finish().map(|()| settings)
    }

    fn read_line(line: &str) -> Result<Settings, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let address = "127.0.0.1:80".parse().unwrap();
        let plain = Settings::new(address, "/plaintext", 2_000.0);
        assert_eq!(read(&plain.words()), Ok(plain.clone()));
        let heavy = Heavy {
            path: "/burn/10".to_owned(),
            connections: 16,
            rate: Some(12.5),
            leave_after_ms: Some(30),
        };
        let full = Settings {
            connections: 7,
            seconds: 0.5,
            new_connections: true,
            poisson: Some(9),
            heavy: Some(heavy),
            leave_after_ms: Some(20),
            ledger: true,
            expect: vec![200, 503],
            body: Some("Hello, World!".to_owned()),
            timeout_ms: 100,
            drain_ms: 50,
            spin: false,
            lateness_max_us: 1,
            ..plain
        };
        assert_eq!(read(&full.words()), Ok(full));
    }

    #[track_caller]
    fn check_refused(rest: &str, expected: &str) {
        let line = format!("--address 127.0.0.1:80 {rest}");
        let error = read_line(&line).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(read_line("--rate 5").unwrap_err().contains("--address is needed"));
        check_refused("", "--rate is needed");
        check_refused("--rate -1", "--rate cannot be -1");
        check_refused("--rate inf", "--rate cannot be inf");
        check_refused("--rate 5 --connections 0", "between 1 and 60000");
        check_refused("--rate 5 --heavy 3", "belong together");
        check_refused("--rate 5 --heavy-rate 3", "belong together");
        check_refused("--rate 5 --seed 3", "--seed is for --poisson");
        check_refused("--rate 5 --expect 200,x", "list of statuses");
        check_refused("--rate 5 --path burn", "is no path");
        check_refused("--rate 1e9 --seconds 1e3", "above");
    }
}
