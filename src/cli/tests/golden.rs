//! What the commands say on each machine of `tests/machines`, kept beside its drawings.
//!
//! A file has the two pools of [`FILE`]; host and engine are made up. What is the same on every
//! machine, the list of settings, stands in the text of the first one only.

use serde_json::Value;

use crate::cli::check::{self, Checked};
use crate::cli::doctor::{self, Patient};
use crate::cli::output::Paint;
use crate::cli::plan::{self, Plan};
use crate::config::grants::Grants;
use crate::config::tests::fixtures::{expect_golden, machine, machines, names};
use crate::config::{Faults, Machine, Purpose, Sources};
use crate::sys::host::{Ceilings, Host};

const FILE: &str = "\
[pool.ml]
workers = 4

[pool.pdf]

[[route]]
path = \"/hi\"
respond = { body = \"hello\" }
";

/// Grants some things and not others.
fn host() -> Host {
    Host {
        kernel: "6.12.1".into(),
        ceilings: Ceilings { locked_memory: Some(8 << 20), open_files: Some(20_000) },
        somaxconn: Some(4096),
        syncookies: Some(true),
        outgoing_ports: Some((32_768, 60_999)),
        clock_source: Some("tsc".into()),
        ..Host::default()
    }
}

/// A part of the golden text.
fn part(title: &str, text: &str) -> String {
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    format!("== {title}\n{}\n", lines.collect::<String>())
}

/// An answer in JSON with a line for each value, and for each object of a list.
fn flat(path: &str, value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let below =
                |name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
            members.iter().map(|(name, value)| flat(&below(name), value)).collect()
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            let lines = list.iter().enumerate();
            lines.map(|(index, value)| format!("{path}[{index}] {value}\n")).collect()
        }
        value => format!("{path} {value}\n"),
    }
}

/// Everything that is said, in the form that a terminal without colours gets.
fn said(machine: Machine, sources: &Sources, is_whole: bool) -> String {
    let resolved = sources.resolve_for(Purpose::Answer, &machine);
    let (settings, mut config) = resolved.unwrap_or_else(|faults| panic!("{faults}"));
    let host = host();
    let (engine, faults) = (Ok("io_uring".to_owned()), Faults::default());
    let patient = Patient {
        host: &host,
        engine: &engine,
        config: &config,
        machine: &machine,
        faults: &faults,
    };
    let checks = doctor::examine(&patient);
    let findings = Grants::from(&host).fit(&mut config);
    let remarks = check::remarks(&config, &findings, Paint::Off);
    let checked =
        Checked { config: config.clone(), settings: settings.clone(), findings: findings.clone() };
    let plan = Plan { machine, config, settings, findings };
    let (mut planned, mut check) = (plan.render(Paint::Off), checked.render());
    let (mut plan_json, mut check_json) = (plan.to_json(), checked.to_json());
    if !is_whole {
        planned.truncate(planned.find("settings\n").unwrap());
        check = check.split_off(check.rfind("\n\n").unwrap() + 2);
        for object in [&mut plan_json, &mut check_json] {
            object.as_object_mut().unwrap().remove("settings").unwrap();
        }
    }
    let cores_json = plan::cores_to_json(&plan.machine);
    let machine_again = plan_json.as_object_mut().unwrap().remove("machine").unwrap();
    assert_eq!(machine_again, cores_json["machine"], "both show the same machine");
    [
        part("plan", &planned),
        part("plan and check, on standard error", &remarks.join("\n\n")),
        part("plan --json", &flat("", &plan_json)),
        part("check", &check),
        part("check --json", &flat("", &check_json)),
        part("cores --json, and machine of plan --json", &flat("", &cores_json)),
        part("doctor", &doctor::render(&checks, Paint::Off)),
        part("doctor --json", &flat("", &doctor::to_json(&checks, &faults))),
    ]
    .concat()
}

#[test]
fn every_machine_is_told_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corewise.toml");
    std::fs::write(&path, FILE).unwrap();
    let sources = Sources { file: Some(path), ..Sources::default() };
    for (index, name) in names().into_iter().enumerate() {
        let text = said(machine(&name), &sources, index == 0);
        let text = text.replace(&format!("{}/", folder.path().display()), "");
        let path = machines().join(format!("{name}.commands"));
        expect_golden(&path, &format!("{}\n", text.trim_end()));
    }
}
