//! Settings from all sources, and every kind of fault.

mod bounds;
pub(crate) mod fixtures;
mod golden;
mod sources;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::machine::{Cpu, Quota};
use super::options::{self, Id};
use super::value::{Kind, Value};
use super::{Config, Faults, Idle, LogFormat, LogLevel, Machine, Origin, Settings, Sources};
use crate::sys::topology::CAPACITY_MAX;

fn machine() -> Machine {
    Machine::uniform(&[0, 1, 2, 3], &[0, 1, 3])
}

/// Keeps the file as long as the sources are used.
struct Written {
    _folder: tempfile::TempDir,
    sources: Sources,
}

fn written(text: &str) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corewise.toml");
    fs::write(&path, text).unwrap();
    Written { _folder: folder, sources: Sources { file: Some(path), ..Sources::default() } }
}

fn resolve(text: &str) -> Result<Config, Faults> {
    written(text).sources.resolve(&machine())
}

#[track_caller]
fn check_fault(text: &str, code: &str, place: &str, message: &str, fix: &str) {
    let faults = resolve(text).expect_err(text).0;
    assert_eq!(faults.len(), 1, "{faults:?}");
    let shown = faults[0].to_string();
    assert_eq!(faults[0].code, code, "{shown}");
    assert!(shown.contains(&format!("corewise.toml:{place}\n")), "{shown}");
    assert!(shown.contains(message), "{shown:?} lacks {message:?}");
    assert!(shown.contains(fix), "{shown:?} lacks {fix:?}");
}

#[test]
fn nothing_written_is_a_configuration() {
    let config = resolve("").unwrap();
    assert_eq!(
        config.server.listen,
        [crate::config::Address::Tcp("127.0.0.1:8000".parse().unwrap())]
    );
    assert_eq!(config.server.backlog, 4096);
    let cpus: Vec<_> = config.placement.shards.iter().map(|shard| shard.cpu).collect();
    assert_eq!(cpus, [Some(0), Some(1), Some(3)], "online and allowed");
    assert_eq!((config.shard.idle, config.shard.connections), (Idle::Adaptive, 65_536));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Auto));
    assert_eq!(config.shutdown.grace, Duration::from_secs(30));
    assert_eq!(config.placement.usable, [0, 1, 3]);
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_limits() {
    let http = resolve("").unwrap().http;
    assert_eq!(format!("{http:?}"), format!("{:?}", crate::limits::HttpLimits::default()));
}

/// A value of an option that is not its default, as TOML has it and as text.
fn other_value(id: Id) -> (&'static str, &'static str) {
    match (id, id.def().kind) {
        (Id::ServerListen, _) => (r#"["127.0.0.1:1", "[::1]:2"]"#, "127.0.0.1:1,[::1]:2"),
        (Id::CoresShards, _) => (r#""0,3""#, "0,3"),
        (Id::CoresUse, _) => (r#""0-1""#, "0-1"),
        (Id::CoresReserve, _) => (r#""1-1""#, "1-1"),
        (Id::CoresSmt, _) => (r#""one""#, "one"),
        (Id::CoresPolicy, _) => (r#""latency""#, "latency"),
        (Id::CoresPin, _) => ("false", "false"),
        (Id::CoresQuota, _) => (r#""ignore""#, "ignore"),
        (Id::ServerEngine, _) => (r#""io_uring""#, "io_uring"),
        (Id::CoresIdle, _) => (r#""sleep""#, "sleep"),
        (Id::ServerUser, _) => (r#""www-data""#, "www-data"),
        (Id::LogLevel, _) => (r#""debug""#, "debug"),
        (Id::LogFormat, _) => (r#""json""#, "json"),
        (_, Kind::Count { .. }) => ("77", "77"),
        (_, Kind::Size { .. }) => (r#""12KiB""#, "12KiB"),
        (_, Kind::Rate { .. }) => (r#""3KiB/s""#, "3KiB/s"),
        (_, Kind::Time { .. }) => (r#""1234ms""#, "1234ms"),
        (id, kind) => panic!("no value for {id:?} of {kind:?}"),
    }
}

#[test]
fn every_option_is_read_from_file_environment_and_flags() {
    for def in options::available() {
        let (toml, text) = other_value(def.id);
        let mut written = written(&format!("[{}]\n{} = {toml}\n", def.table, def.name));
        let from_file = Settings::gather(&written.sources);
        assert_eq!(from_file.1, Faults::default(), "{}", def.key());
        let setting = from_file.0.get(def.id);
        assert_eq!(setting.value.to_string(), text);
        assert!(setting.origin.to_string().ends_with("corewise.toml:2"));
        assert_eq!(setting.origin.place().unwrap().column, def.name.len() + 4);

        written.sources.environment.push((def.variable(), def.default.to_owned()));
        let from_environment = Settings::gather(&written.sources);
        assert_eq!(from_environment.1, Faults::default());
        assert_eq!(from_environment.0.get(def.id).value.to_string(), def.default);
        assert_eq!(from_environment.0.get(def.id).origin, Origin::Environment(def.variable()));

        written.sources.flags.push((def.id, text.to_owned()));
        let (from_flags, faults) = Settings::gather(&written.sources);
        assert_eq!(faults, Faults::default());
        assert_eq!(from_flags.get(def.id).value.to_string(), text);
        assert_eq!(from_flags.get(def.id).origin, Origin::Flag(def.shown_flag()));
        written.sources.resolve(&machine()).unwrap();
    }
}

/// Eight cores with two threads each, where every wish about cores makes a difference.
fn large_machine(quota: Option<Quota>) -> Machine {
    let cpu = |number| Cpu { number, core: number / 2, l3: 0, node: 0, capacity: CAPACITY_MAX };
    let cpus: Vec<Cpu> = (0..16).map(cpu).collect();
    Machine { mask: (0..16).collect(), cpus, quota, ..Machine::default() }
}

#[test]
fn every_option_reaches_the_configuration() {
    let written = written("[pool.app]\n");
    for def in options::available() {
        let quota = Quota { thousandths: 4000, path: "/sys/fs/cgroup".into() };
        let machine = large_machine((def.id == Id::CoresQuota).then_some(quota));
        let mut sources = written.sources.clone();
        let before = sources.resolve(&machine).unwrap();
        sources.flags.push((def.id, other_value(def.id).1.to_owned()));
        let after = sources.resolve(&machine).unwrap();
        // Notices tell of the flag, which is no effect.
        let [before, after] =
            [before, after].map(|config| Config { notices: Vec::new(), ..config });
        assert_ne!(format!("{after:?}"), format!("{before:?}"), "{}", def.key());
    }
}

#[test]
fn toml_has_its_own_numbers() {
    let config = resolve("[limits]\nheaders = 0x40\nbody = 1_000\n[cores]\nshards = 2\n").unwrap();
    assert_eq!((config.http.headers, config.http.body_bytes), (64, 1000));
    assert_eq!(config.placement.shards.len(), 2);
    resolve("version = 1\n[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
}

#[test]
fn faults_name_the_place_and_a_fix() {
    check_fault(
        "[limits]\nkeepalive = \"1s\"",
        "E0103",
        "2:1",
        "unknown key `keepalive`",
        "keep-alive",
    );
    check_fault("[limits]\nshards = 1", "E0103", "2:1", "unknown key `shards`", "below [cores]");
    check_fault("[limit]\nbody = 1", "E0102", "1:2", "unknown table `limit`", "[limits]");
    check_fault("keep-alive = \"1s\"", "E0103", "1:1", "`keep-alive`", "below [limits]");
    check_fault("limits = 3", "E0104", "1:1", "is a table, not a number", "write [limits]");
    check_fault("[limits]\n body = true", "E0104", "2:9", "a boolean", "16MiB");
    check_fault("[limits]\nheaders = \"9\"", "E0104", "2:11", "without quotes", "whole number");
    check_fault("[limits]\nbody = \"x\"", "E0105", "2:8", "limits.body: `x` is not a size", "MiB");
    check_fault("[limits]\nkeep-alive = 30", "E0105", "2:14", "not a span of time", "30s");
    check_fault("[limits]\nheaders = 300", "E0105", "2:11", "out of bounds (1 to 256)", "256");
    check_fault("[limits]\nbody-rate = \"0B/s\"", "E0105", "2:13", "out of bounds (1B/s", "240");
    check_fault("[limits]\nheaders = -1", "E0105", "2:11", "not a whole number", "256");
    check_fault("[log]\nlevel = \"loud\"", "E0105", "2:9", "`loud`", "error, warn, info");
    check_fault("[server]\nlisten = [\"a\"]", "E0105", "2:11", "no port", "127.0.0.1:8000");
    check_fault("[server]\nlisten = []", "E0104", "2:10", "the list is empty", "127.0.0.1:8000");
    check_fault("[server]\nlisten = \"unix:\"", "E0105", "2:10", "no path", "unix:/run/app.sock");
    check_fault("[server]\ncontrol = \"x\"", "E0106", "2:1", "server.control: not", "remove");
    check_fault("version = 2", "E0105", "1:1", "only version 1", "version = 1");
    check_fault("[cores]\nshards = 4", "E0201", "2:10", "4 shards do not fit on 3", "at most 3");
}

#[test]
fn a_cpu_that_cannot_be_used_says_why() {
    check_fault(
        "[cores]\nshards = \"1-2\"",
        "E0202",
        "2:11",
        "CPU 2 cannot be used: outside of the affinity mask",
        "0-1,3",
    );
    check_fault(
        "[cores]\nshards = \"0,9\"",
        "E0202",
        "2:13",
        "CPU 9 cannot be used: not in this machine",
        "0-1,3",
    );
}

#[test]
fn an_address_twice_is_a_fault_but_port_0_is_not() {
    let text = "[server]\nlisten = [\"127.0.0.1:80\", \"127.0.0.1:80\"]";
    check_fault(text, "E0203", "2:27", "127.0.0.1:80 is named twice", "once");
    resolve("[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]").unwrap();
}

#[test]
fn addresses_that_overlap_are_named_both() {
    for (one, other) in [
        ("0.0.0.0:8000", "127.0.0.1:8000"),
        ("127.0.0.1:8000", "0.0.0.0:8000"),
        ("[::]:8000", "[::1]:8000"),
        ("[::]:8000", "[::ffff:127.0.0.1]:8000"),
        ("127.0.0.1:8000", "[::ffff:127.0.0.1]:8000"),
        ("0.0.0.0:8000", "[::ffff:127.0.0.1]:8000"),
    ] {
        let text = format!("[server]\nlisten = [\"{one}\", \"{other}\"]");
        let place = format!("2:{}", "listen = ['', ".len() + one.len() + 1);
        check_fault(&text, "E0204", &place, &format!("{one} and {other} overlap"), "ports");
    }
    for fitting in [
        r#"["0.0.0.0:8000", "127.0.0.1:8001"]"#,
        r#"["0.0.0.0:0", "127.0.0.1:0"]"#,
        // The IPv6 one then leaves IPv4 alone.
        r#"["0.0.0.0:8000", "[::]:8000"]"#,
        r#"["127.0.0.1:8000", "[::]:8000"]"#,
        r#"["127.0.0.1:8000", "[::1]:8000"]"#,
    ] {
        resolve(&format!("[server]\nlisten = {fitting}")).unwrap();
    }
    let flags = vec![(Id::ServerListen, "0.0.0.0:8000,127.0.0.1:8000".to_owned())];
    let faults = Sources { flags, ..Sources::default() }.resolve(&machine()).unwrap_err();
    assert!(!faults.only_flags(), "78 and not 2: each of them can be read");
}

#[test]
fn the_full_name_of_the_log_level_wins() {
    let short = ("COREWISE_LOG_LEVEL".to_owned(), "error".to_owned());
    let full = ("COREWISE_LOG__LEVEL".to_owned(), "debug".to_owned());
    for environment in [vec![short.clone(), full.clone()], vec![full, short]] {
        let config = Sources { environment, ..Sources::default() }.resolve(&machine()).unwrap();
        assert_eq!(config.log.level, LogLevel::Debug);
    }
}

#[test]
fn broken_toml_is_reported_with_all_else() {
    let text = "[limits]\nbody = \nheaders = 0\n[log]\nlvel = \"info\"\n";
    let faults = resolve(text).unwrap_err();
    let codes: Vec<&str> = faults.0.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, ["E0101", "E0105", "E0103"], "{faults}");
    assert_eq!(faults.to_string().matches("error[").count(), faults.0.len());
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let file = Some(PathBuf::from("/does/not/exist.toml"));
    let faults = Sources { file, ..Sources::default() }.resolve(&machine()).unwrap_err();
    assert_eq!(faults.0[0].code, "E0100");
    assert!(faults.to_string().contains("/does/not/exist.toml"));
}

#[test]
fn the_environment_names_the_file() {
    let written = written("[limits]\nheaders = 9\n");
    let path = written.sources.file.unwrap().display().to_string();
    let environment = vec![("COREWISE_CONFIG".to_owned(), path.clone())];
    let config = Sources { environment, ..Sources::default() }.resolve(&machine()).unwrap();
    assert_eq!((config.http.headers, config.file), (9, Some(path)));
}

#[track_caller]
fn check_variable(name: &str, value: &str, expected: Result<(), &str>) {
    let environment = vec![(name.to_owned(), value.to_owned())];
    let result = Sources { environment, ..Sources::default() }.resolve(&machine());
    match (result, expected) {
        (Ok(_), Ok(())) => {}
        (Err(faults), Err(part)) => assert!(faults.to_string().contains(part), "{faults}"),
        (result, expected) => panic!("{name}: {result:?} instead of {expected:?}"),
    }
}

#[test]
fn variables_are_checked_too() {
    check_variable("COREWISE_LIMITS__KEEP_ALIVE", "1s", Ok(()));
    check_variable("COREWISE_LIMITS__KEEPALIVE", "1s", Err("COREWISE_LIMITS__KEEP_ALIVE"));
    check_variable("COREWISE_LIMITS__KEEP_ALIVE", "1", Err("env COREWISE_LIMITS__KEEP_ALIVE"));
    check_variable("COREWISE_POOL__APP__WORKERS", "1", Err("there is no pool `app`"));
    check_variable("COREWISE_SHUTDOWN__LEAD", "1s", Err("not available in this version yet"));
    check_variable("COREWISE_LOG_LEVEL", "debug", Ok(()));
    check_variable("COREWISE_LOG_LEVEL", "loud", Err("log.level"));
    check_variable("COREWISE_FUZZ_SEED", "1", Ok(()));
    check_variable("PATH", "x", Ok(()));
}

#[test]
fn only_the_form_of_flags_is_usage() {
    let fault_of = |flags: Vec<(Id, String)>| {
        Sources { flags, ..Sources::default() }.resolve(&machine()).unwrap_err()
    };
    assert!(fault_of(vec![(Id::LimitsBody, "x".into())]).only_flags());
    assert!(!fault_of(vec![(Id::CoresShards, "99".into())]).only_flags());
    let mut written = written("[limits]\nbody = \"x\"");
    written.sources.flags.push((Id::LimitsHeaders, "x".into()));
    assert!(!written.sources.resolve(&machine()).unwrap_err().only_flags());
}

#[test]
fn the_machine_can_be_asked() {
    let machine = Machine::read().unwrap();
    assert!(!machine.usable().is_empty());
    let settings = Settings::defaults();
    assert!(matches!(settings.get(Id::CoresShards).value, Value::Cpus(_)));
}
