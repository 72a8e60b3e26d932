//! Where values come from: which source wins, what each of them may hold, and files that are none.

use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use proptest::prelude::*;

use super::{machine, written};
use crate::config::file;
use crate::config::options::{self, Id, POOL_OPTIONS};
use crate::config::{
    Faults, HalfClose, Notice, Origin, PoolKind, PoolSettings, Preload, Purpose, RequestConfig,
    Settings, Sources, Weight,
};
use crate::limits::{CONFIG_BYTES_MAX, POOLS_MAX};

#[track_caller]
fn gather(sources: &Sources) -> Settings {
    let (settings, faults) = Settings::gather(sources);
    assert_eq!(faults, Faults::default());
    settings
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Each source sets another value; all subsets of them are tried, and the strongest has to win.
#[track_caller]
fn check_precedence(id: Id, file: &str, values: [&str; 5], variables: [&str; 2], flag: bool) {
    for subset in 0..32_u8 {
        let has = |bit: u8| subset & (1 << bit) != 0 && (bit < 4 || flag);
        let [platform, in_file, drop_in, ours, on_flag] = values;
        let text = |value: &str| file.replace("VALUE", value);
        let none = file.replace("[server]\nlisten = VALUE\n", "").replace("workers = VALUE\n", "");
        let written = written(&if has(1) { text(in_file) } else { none });
        let mut sources = written.sources.clone();
        if has(2) {
            let folder = sources.file.as_ref().unwrap().with_file_name("corewise.d");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("a.toml"), text(drop_in)).unwrap();
        }
        if has(0) {
            sources.environment.push(variable(variables[0], platform));
        }
        if has(3) {
            sources.environment.push(variable(variables[1], ours.trim_matches('"')));
        }
        if has(4) {
            sources.flags.push((id, on_flag.trim_matches('"').to_owned()));
        }
        let settings = gather(&sources);
        let setting = match settings.pools() {
            [pool] => pool.get(id),
            _ => settings.get(id),
        };
        let strongest = (0..5).rev().find(|bit| has(*bit)).map(|bit| values[usize::from(bit)]);
        let shown = setting.value.to_string();
        match strongest {
            None => assert_eq!(setting.origin, Origin::Default),
            Some(value) => assert!(shown.ends_with(value.trim_matches('"')), "{subset}: {shown}"),
        }
        let from_file = matches!(setting.origin, Origin::File { .. });
        assert_eq!(from_file, !has(4) && !has(3) && (has(2) || has(1)), "{subset}");
    }
}

#[test]
fn stronger_sources_win() {
    let [port, file, drop_in, ours, flag] = ["1", "2", "3", "4", "5"];
    let listen = [
        port,
        &format!("\"127.0.0.1:{file}\""),
        &format!("\"127.0.0.1:{drop_in}\""),
        &format!("\"127.0.0.1:{ours}\""),
        &format!("\"127.0.0.1:{flag}\""),
    ];
    let variables = ["PORT", "COREWISE_SERVER__LISTEN"];
    check_precedence(Id::ServerListen, "[server]\nlisten = VALUE\n", listen, variables, true);
    let pool = "[pool.app]\nworkers = VALUE\n";
    let variables = ["WEB_CONCURRENCY", "COREWISE_POOL__APP__WORKERS"];
    check_precedence(Id::PoolWorkers, pool, ["1", "2", "3", "4", "5"], variables, true);
    let variables = ["WEB_CONCURRENCY", "COREWISE_WORKERS"];
    check_precedence(Id::PoolWorkers, pool, ["1", "2", "3", "4", "5"], variables, true);
    let variables = ["WEB_CONCURRENCY", "FASTERAPI_WORKERS"];
    check_precedence(Id::PoolWorkers, pool, ["1", "2", "3", "4", "5"], variables, false);
}

#[test]
fn names_of_ours_win_over_aliases() {
    let aliases = ["COREWISE_POOL__APP__WORKERS", "COREWISE_WORKERS", "FASTERAPI_WORKERS"];
    for from in 0..aliases.len() {
        let mut written = written("[pool.app]\n");
        let names = aliases[from..].iter().enumerate().rev();
        written.sources.environment =
            names.map(|(place, name)| variable(name, &(from + place + 1).to_string())).collect();
        let settings = gather(&written.sources);
        assert_eq!(
            settings.pools()[0].get(Id::PoolWorkers).value.to_string(),
            (from + 1).to_string()
        );
        let notices = settings.notices().iter().map(Notice::sentence);
        let alias_notices = notices.filter(|notice| notice.contains("FASTERAPI_*")).count();
        assert_eq!(alias_notices, 1, "one, however many there are");
    }
}

fn pool(text: &str) -> (PoolSettings, super::Written) {
    let written = written(text);
    let settings = gather(&written.sources);
    let [pool] = settings.pools() else { panic!("{:?}", settings.pools()) };
    (pool.clone(), written)
}

#[test]
fn groups_are_the_same_in_every_form() {
    for text in [
        "[pool.app]\nboot = { timeout = \"7s\", parallel = 3 }\n",
        "[pool.app]\nboot.timeout = \"7s\"\nboot.parallel = 3\n",
        "[pool.app.boot]\ntimeout = \"7s\"\nparallel = 3\n",
        "[pool]\napp.boot = { timeout = \"7s\", parallel = 3 }\n",
        "pool.app.boot.timeout = \"7s\"\npool.app.boot.parallel = 3\n",
    ] {
        let (pool, _written) = pool(text);
        let timeout = pool.get(Id::PoolBootTimeout);
        assert_eq!(timeout.value.to_string(), "7s", "{text}");
        let Origin::File { source, span } = &timeout.origin else { panic!("{text}") };
        assert_eq!(&source.text[span.clone()], "\"7s\"");
        assert_eq!(pool.get(Id::PoolBootParallel).value.to_string(), "3", "{text}");
        assert_eq!(pool.get(Id::PoolBootStagger).origin, Origin::Default);
    }
}

#[test]
fn every_option_of_a_pool_is_read_from_file_and_variable() {
    for def in &POOL_OPTIONS {
        let value = def.kind.parse(def.default).unwrap();
        // A default that is an empty text is left out by the one who has none.
        let (read, mut written) =
            pool(&format!("[pool.my-app]\n{} = {}\n", def.name, value.to_toml()));
        assert_eq!(read.get(def.id).value, value, "{}", def.key());
        assert!(read.get(def.id).origin.is_written());
        written.sources.environment.push((def.variable_in("my-app"), def.default.to_owned()));
        let settings = gather(&written.sources);
        let setting = settings.pools()[0].get(def.id);
        assert_eq!(setting.value, value, "{}", def.key());
        assert_eq!(setting.origin, Origin::Environment(def.variable_in("my-app")));
        written.sources.flags.push((def.id, def.default.to_owned()));
        let settings = gather(&written.sources);
        assert_eq!(settings.pools()[0].get(def.id).origin, Origin::Flag(def.shown_flag()));
    }
}

#[test]
fn variables_may_hold_what_toml_has() {
    let mut written = written("[pool.app]\n");
    written.sources.environment = vec![
        variable("COREWISE_POOL__APP__WARM", r#"["GET /a?b=1,2", "GET /c"]"#),
        variable("COREWISE_POOL__APP__ENV", r#"{ A = "x,y", B = 2 }"#),
    ];
    let settings = gather(&written.sources);
    let toml = |id: Id| settings.pools()[0].get(id).value.to_toml();
    assert_eq!(toml(Id::PoolWarm), r#"["GET /a?b=1,2", "GET /c"]"#);
    assert_eq!(toml(Id::PoolEnv), r#"{ A = "x,y", B = "2" }"#);
    written.sources.environment = vec![variable("COREWISE_POOL__APP__WARM", "[\"GET /a")];
    let (_, faults) = Settings::gather(&written.sources);
    assert_eq!(faults.0[0].code, "E0105", "{faults}");
}

#[test]
fn later_options_are_refused_from_every_source() {
    for def in options::all().filter(|def| def.later().is_some()) {
        let mut written = written(&format!("[{}]\n{} = 1\n", def.table, def.name));
        let code_at = |sources: &Sources| {
            let (_, faults) = Settings::gather(sources);
            let codes: Vec<_> = faults.0.iter().map(|fault| fault.code).collect();
            assert_eq!(codes, ["E0106"], "{faults}");
            faults.to_string()
        };
        assert!(code_at(&written.sources).contains(def.later().unwrap()), "{}", def.key());
        written.sources.file = None;
        written.sources.environment.push((def.variable(), "1".to_owned()));
        assert!(code_at(&written.sources).contains(def.later().unwrap()), "{}", def.key());
        written.sources.environment.clear();
        written.sources.flags.push((def.id, "1".to_owned()));
        assert!(code_at(&written.sources).contains(def.later().unwrap()), "{}", def.key());
    }
}

#[test]
fn drop_ins_merge_tables_and_replace_lists() {
    let written = written("[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nbacklog = 7\n");
    let folder = written.sources.file.as_ref().unwrap().with_file_name("corewise.d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("20.toml"), "[server]\nlisten = [\"127.0.0.1:3\"]\n").unwrap();
    fs::write(folder.join("10.toml"), "[limits]\nheaders = 9\n[pool.app]\nworkers = 2\n").unwrap();
    fs::write(folder.join("30.toml.off"), "not TOML").unwrap();
    symlink(folder.join("nowhere"), folder.join("40.conf")).unwrap();
    let settings = gather(&written.sources);
    let shown = |id: Id| settings.get(id).value.to_string();
    assert_eq!(shown(Id::ServerListen), "127.0.0.1:3");
    assert_eq!((shown(Id::ServerBacklog), shown(Id::LimitsHeaders)), ("7".into(), "9".into()));
    assert_eq!(settings.pools().len(), 1);
    let names: Vec<_> =
        settings.files().iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["corewise.toml", "10.toml", "20.toml"]);
}

#[track_caller]
fn check_unreadable(text: &[u8], code: &str, part: &str) {
    let written = written("");
    fs::write(written.sources.file.as_ref().unwrap(), text).unwrap();
    let faults = written.sources.resolve(&machine()).unwrap_err();
    assert_eq!(faults.0[0].code, code, "{faults}");
    assert!(faults.to_string().contains(part), "{faults}");
}

#[test]
fn files_that_are_none_are_refused() {
    check_unreadable(b"[limits]\nbody = \"\xffx\"\n", "E0100", "byte 17 is 0xff");
    check_unreadable(b"[limits]\nbody = \"\xffx\"\n", "E0100", "corewise.toml:2:9");
    check_unreadable(b"\x7fELF\x02\x01\x01\0\0\0", "E0101", "corewise.toml:1:1");
    let large = "#".repeat(usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1);
    check_unreadable(large.as_bytes(), "E0100", "it has more than 1024 KiB");
    let folder = tempfile::tempdir().unwrap();
    let sources = Sources { file: Some(folder.path().into()), ..Sources::default() };
    let faults = sources.resolve(&machine()).unwrap_err();
    assert!(faults.to_string().contains("cannot read the file: is a directory"), "{faults}");
}

/// Nobody wants the defaults who put a file there.
#[test]
fn a_link_to_nowhere_is_a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corewise.toml");
    assert!(!file::is_there(&path));
    symlink("nowhere", &path).unwrap();
    assert!(file::is_there(&path));
    fs::remove_file(&path).unwrap();
    symlink("corewise.toml", &path).unwrap();
    assert!(file::is_there(&path));
}

#[test]
fn only_a_file_that_is_named_may_be_something_else() {
    let written = written("");
    let folder = written.sources.file.as_ref().unwrap().with_file_name("corewise.d");
    fs::create_dir(&folder).unwrap();
    symlink("/dev/zero", folder.join("a.toml")).unwrap();
    let faults = written.sources.resolve(&machine()).unwrap_err();
    assert!(faults.to_string().contains("it is not a regular file"), "{faults}");
}

#[test]
fn hidden_files_are_no_drop_ins() {
    let written = written("");
    let folder = written.sources.file.as_ref().unwrap().with_file_name("corewise.d");
    fs::create_dir(&folder).unwrap();
    symlink("nowhere", folder.join(".#a.toml")).unwrap();
    assert_eq!(gather(&written.sources).files().len(), 1);
}

#[test]
fn a_pipe_is_read_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"[limits]\nheaders = 9\n").unwrap();
    drop(writer);
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let sources = Sources { file: Some(path.into()), ..Sources::default() };
    let (settings, config) = sources.resolve_for(Purpose::Answer, &machine()).unwrap();
    assert_eq!(config.http.headers, 9);
    assert_eq!(settings.get(Id::LimitsHeaders).value.to_string(), "9");
}

#[track_caller]
fn check_misspelt(name: &str, meant: &str) {
    let mut written = written("[pool.app]\nworkers = 1\n");
    written.sources.environment.push(variable(name, "1"));
    let settings = gather(&written.sources);
    let help: Vec<&str> = settings.notices().iter().map(|n| n.fault.help.as_str()).collect();
    assert_eq!(help, [format!("{meant} is, if it is what was meant")], "{name}");
}

#[test]
fn a_variable_with_one_mark_too_few_is_told() {
    check_misspelt("COREWISE_SERVER_LISTEN", "COREWISE_SERVER__LISTEN");
    check_misspelt("COREWISE_LIMITS_KEEP_ALIVE", "COREWISE_LIMITS__KEEP_ALIVE");
    check_misspelt("COREWISE_POOL_APP_WORKERS", "COREWISE_POOL__APP__WORKERS");
    check_misspelt("COREWISE_LOGLEVEL", "COREWISE_LOG_LEVEL");
}

#[test]
fn a_port_is_digits() {
    for (name, text) in [
        ("PORT", "+80"),
        ("COREWISE_SERVER__LISTEN", "127.0.0.1:+80"),
        ("COREWISE_SERVER__LISTEN", "localhost:+80"),
    ] {
        let environment = vec![variable(name, text)];
        let (_, faults) = Settings::gather(&Sources { environment, ..Sources::default() });
        assert!(faults.to_string().contains("`+80` is not a port (0 to 65535)"), "{faults}");
    }
}

#[test]
fn a_mark_at_the_beginning_is_no_part_of_the_file() {
    let written = written("\u{feff}[limits]\nheaders = 9\n");
    assert_eq!(gather(&written.sources).get(Id::LimitsHeaders).value.to_string(), "9");
}

#[test]
fn thousands_of_faults_are_a_few() {
    let text: String = (0..5000).map(|number| format!("key{number} = 1\n")).collect();
    let faults = written(&text).sources.resolve(&machine()).unwrap_err();
    assert_eq!(faults.0.len(), 1001);
    let shown = faults.to_string();
    assert_eq!(shown.matches("stands outside of the tables").count(), 10);
    assert!(shown.contains("error[E0109]: 1000 faults in one file"), "{shown}");
    assert!(shown.ends_with("error[E0103]: 990 more like these"), "{shown}");
}

#[test]
fn hostile_files_are_answered() {
    let deep = 200_000;
    for (text, part) in [
        (format!("a = {}", "[".repeat(deep)), "E0101"),
        (format!("a = {}", "{a=".repeat(deep)), "E0101"),
        (format!("{} = 1", vec!["a"; deep].join(".")), "E010"),
        (format!("[{}]", vec!["a"; deep].join(".")), "E010"),
        ("a=1\n".repeat(deep), "is there twice"),
        (format!("[limits]\nbody = \"{}\"", "x".repeat(deep)), "xxx...` is not a size"),
        (format!("[limits]\n{} = 1", "x".repeat(deep)), "unknown key `xxx"),
        (format!("pool.{} = 1", "x".repeat(deep)), "but a pool has a name"),
    ] {
        let faults = written(&text).sources.resolve(&machine()).unwrap_err();
        let shown = faults.to_string();
        assert!(shown.contains(part), "{}", &shown[..shown.len().min(500)]);
        assert!(shown.len() < 40_000, "{} bytes are shown of {}", shown.len(), &text[..20]);
    }
}

#[test]
fn pools_are_bounded() {
    let pools = |count: usize| -> String {
        (0..count).map(|number| format!("[pool.p{number}]\nworkers = 1\n")).collect()
    };
    let (settings, faults) = Settings::gather(&written(&pools(POOLS_MAX)).sources);
    assert_eq!((settings.pools().len(), faults.0.len()), (POOLS_MAX, 0));
    let (_, faults) = Settings::gather(&written(&pools(POOLS_MAX + 1)).sources);
    assert!(faults.to_string().contains("more than 64 pools"), "{faults}");
}

#[test]
fn pools_of_python_can_be_planned_and_not_started() {
    let written = written("[limits]\nheaders = 9\n[pool.app]\nworkers = 1\n");
    let config = written.sources.resolve(&machine()).unwrap();
    assert_eq!(config.placement.pools.len(), 1);
    let [notice] = config.notices.as_slice() else { panic!("{:?}", config.notices) };
    assert_eq!(notice.weight, Weight::Warning);
    assert!(notice.sentence().ends_with("corewise.toml:3)"), "{}", notice.sentence());
    let faults = written.sources.resolve_for(Purpose::Start, &machine()).unwrap_err();
    assert_eq!(faults.0[0].code, "E0106");
    assert!(faults.to_string().contains("corewise.toml:3:7"), "{faults}");
}

/// What keeps a file from being served by a program with the pool `cpu`.
fn obstacles(text: &str) -> Vec<(&'static str, String)> {
    let mut written = written(text);
    written.sources.native_pools = vec!["cpu".to_owned()];
    match written.sources.resolve_for(Purpose::Start, &machine()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.0.iter().map(|fault| (fault.code, fault.to_string())).collect(),
    }
}

#[test]
fn pools_that_are_built_in_have_their_settings() {
    let mut written = written("[limits]\nheaders = 9\n");
    written.sources.native_pools = vec!["cpu".to_owned()];
    written.sources.environment = vec![
        variable("COREWISE_POOL__CPU__NICE", "3"),
        variable("COREWISE_POOL__CPU__RESTART__BACKOFF", "1s..2s"),
    ];
    written.sources.flags = vec![(Id::PoolWorkers, "2".to_owned())];
    let resolved = written.sources.resolve_for(Purpose::Start, &machine());
    let (settings, config) = resolved.unwrap_or_else(|faults| panic!("{faults}"));
    let [pool] = config.pools.as_slice() else { panic!("{:?}", config.pools) };
    assert_eq!((pool.name.as_str(), pool.kind, pool.nice), ("cpu", PoolKind::Native, 3));
    assert_eq!(pool.restart.pause_first, Duration::from_secs(1));
    assert_eq!((pool.restart.tries, pool.restart.window), (5, Duration::from_secs(60)));
    assert_eq!((pool.boot.parallel, pool.preload), (2, Preload::ByTemplate));
    assert_eq!(config.placement.pools[0].workers.len(), 2);
    assert_eq!(settings.pools()[0].get(Id::PoolKind).value.to_string(), "native");
    assert!(obstacles("[pool.cpu]\nworkers = 1\npreload = \"off\"\n").is_empty());
}

#[test]
fn pools_and_programs_that_do_not_match_are_refused_with_their_place() {
    let found = obstacles("[pool.gpu]\nkind = \"native\"\n");
    let (code, text) = &found[0];
    assert_eq!((found.len(), *code), (1, "E0227"));
    assert!(text.contains("corewise.toml:1:7") && text.contains("App::pool"), "{text}");
    let found = obstacles("[pool.cpu]\nkind = \"python\"\n");
    assert!(found.iter().any(|(code, text)| {
        *code == "E0227" && text.contains("corewise.toml:2:8") && text.contains("another name")
    }));
    let found = obstacles("[pool.app]\n");
    assert_eq!((found.len(), found[0].0), (1, "E0106"), "nothing runs Python yet");
    let found = obstacles("[pool.cpu]\nrecycle = { requests = 7 }\n");
    let (code, text) = &found[0];
    assert_eq!((found.len(), *code), (1, "E0106"), "it would have no effect");
    assert!(text.contains("pool.cpu.recycle.requests"), "{text}");
}

#[test]
fn pools_have_the_settings_of_their_jobs() {
    let mut written = written(
        "[pool.cpu]\nslots = 8\nslot = \"1KiB\"\nqueue = 3\nqueue-wait = \"2s\"\nthreads = 2\n\
         concurrency = 4\nrequest = { timeout = \"3s\", force = \"4s\", idle = \"5s\" }\n\
         cancel-on-disconnect = false\nhalf-close = \"answer\"\n",
    );
    written.sources.native_pools = vec!["cpu".to_owned(), "other".to_owned()];
    let (_, config) = written.sources.resolve_for(Purpose::Start, &machine()).unwrap();
    let [pool, other] = config.pools.as_slice() else { panic!("{:?}", config.pools) };
    let second = Duration::from_secs(1);
    assert_eq!((pool.slots, pool.slot_bytes, pool.queue, pool.threads), (8, 1024, 3, 2));
    assert_eq!((pool.queue_wait, pool.concurrency), (Some(2 * second), Some(4)));
    let (timeout, force, idle) = (3 * second, 4 * second, 5 * second);
    assert_eq!(pool.request, RequestConfig { timeout, force, idle });
    assert_eq!((pool.cancel_on_disconnect, pool.half_close), (false, HalfClose::Answer));
    assert_eq!((other.slots, other.slot_bytes, other.queue, other.threads), (256, 4096, 128, 1));
    assert_eq!((other.queue_wait, other.concurrency), (None, None));
    assert_eq!((other.cancel_on_disconnect, other.half_close), (true, HalfClose::Cancel));
}

#[test]
fn who_sleeps_at_once_does_not_spin() {
    let spin = |text: &str| written(text).sources.resolve(&machine()).unwrap().spin;
    let times = ["", "policy = \"latency\"", "idle = \"sleep\"", "idle = \"spin\""];
    let times = times.map(|line| spin(&format!("[cores]\n{line}\n")).as_micros());
    assert_eq!(times, [25, 100, 0, 250_000]);
}

#[test]
fn what_no_terminal_should_see_is_not_shown() {
    let text = "\"\\u001b[31m\" = 1\n[pool.\"\\u0007\"]\n[log]\nlevel = \"\\u001b[2J\"\n";
    let faults = written(text).sources.resolve(&machine()).unwrap_err();
    let environment =
        vec![variable("COREWISE_LIMITS__\u{1b}[2J", "1"), variable("PORT", "\u{1b}[2J")];
    let (_, more) = Settings::gather(&Sources { environment, ..Sources::default() });
    for shown in [faults.to_string(), more.to_string()] {
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
    }
}

#[test]
fn who_cannot_spin_is_told() {
    let sentences = |rest: &str| -> Vec<String> {
        let written = written(&format!("[cores]\nidle = \"spin\"\n{rest}"));
        let config = written.sources.resolve(&machine()).unwrap();
        config.notices.iter().map(Notice::sentence).collect()
    };
    assert!(sentences("").is_empty());
    let [sentence] = &sentences("pin = false")[..] else { panic!("nothing is said") };
    assert!(sentence.starts_with("cores.idle: shards that do not have"), "{sentence}");
    assert!(sentence.ends_with("corewise.toml:2)"), "{sentence}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 64,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_resolves_or_has_faults_with_places(text in ".*", value in any::<String>()) {
        let mut written = written(&text);
        written.sources.environment = options::all()
            .map(|def| variable(&def.variable_in("app"), &value))
            .chain(options::all().map(|def| variable(&def.variable(), &value)))
            .collect();
        if let Err(faults) = written.sources.resolve(&machine()) {
            prop_assert!(!faults.0.is_empty());
            for fault in &faults.0 {
                prop_assert!(fault.origin.is_written(), "{fault:?}");
            }
            prop_assert!(faults.to_string().starts_with("error[E0"));
        }
    }
}
