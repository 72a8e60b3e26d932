//! `corewise check`: everything that is wrong, in one run; then every value with where it came
//! from, how a change of it takes effect, and what the system does not grant.

use std::io;
use std::net::SocketAddr;

use serde_json::json;

use super::output::{Paint, Tone, complain, write, write_json};
use super::{Ask, Probe, read_machine, refuse, resolve_for, resolve_to_start, values};
use crate::config::grants::{ADDRESS_TAKEN, Finding, Grants};
use crate::config::route::nothing_to_serve;
use crate::config::{Config, Notice, Settings};
use crate::exit::Exit;
use crate::net::listener::try_address;
use crate::sys::host::Host;
use crate::sys::procfs::{Holder, listener_holder};

/// `serves` is true when the settings are to serve by themselves, without an application's routes.
pub(super) fn run(ask: &Ask, serves: bool, probe: Probe<'_>) -> Exit {
    let resolved = if serves {
        resolve_to_start(&ask.sources).and_then(something_to_serve)
    } else {
        read_machine().and_then(|machine| resolve_for(&ask.sources, &machine))
    };
    let (settings, mut config) = match resolved {
        Ok(resolved) => resolved,
        Err(exit) => return exit,
    };
    let findings = ask_the_system(&mut config, probe);
    let exit = exit(&findings);
    if ask.json {
        let object = json!({
            "findings": findings.iter().map(finding_to_json).collect::<Vec<_>>(),
            "notices": config.notices.iter().map(Notice::sentence).collect::<Vec<_>>(),
            "settings": values::to_json(&settings),
        });
        return write_json(&object, exit);
    }
    let paint = Paint::of_errors();
    for notice in &config.notices {
        complain(&format!("{}\n", notice.render(paint == Paint::On)));
    }
    for finding in &findings {
        complain(&show(finding, paint));
    }
    let mut text = values::render(&settings);
    if exit == Exit::Clean {
        text += &conclusion(&settings, &config);
    }
    write(&text, exit)
}

fn something_to_serve(resolved: (Settings, Config)) -> Result<(Settings, Config), Exit> {
    let (_, config) = &resolved;
    if config.routes.is_empty() {
        return Err(refuse(&nothing_to_serve(config.file.as_deref())));
    }
    Ok(resolved)
}

/// What was read, in a line.
fn conclusion(settings: &Settings, config: &Config) -> String {
    let files = match settings.files() {
        [] => "no configuration file".to_owned(),
        files => files.join(", "),
    };
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (shards, routes) = (config.placement.shards.len(), config.routes.len());
    let (shard, route) = (plural(shards), plural(routes));
    format!("\nnothing is wrong: {files}; {shards} shard{shard}, {routes} route{route}\n")
}

/// Everything that the system would refuse or cut.
pub(super) fn ask_the_system(config: &mut Config, probe: Probe<'_>) -> Vec<Finding> {
    let mut findings = refused_addresses(&config.server.listen);
    if let Err(trouble) = probe() {
        findings.push(Finding::of_engine(trouble.reason, trouble.fix));
    }
    findings.extend(Grants::from(&Host::read()).fit(config));
    findings
}

fn refused_addresses(addresses: &[SocketAddr]) -> Vec<Finding> {
    let has_v4 = |port| addresses.iter().any(|other| other.is_ipv4() && other.port() == port);
    let refused = addresses.iter().filter_map(|address| {
        let error = try_address(*address, has_v4(address.port())).err()?;
        Some(judge(*address, &error.error, listener_holder(*address)))
    });
    refused.collect()
}

fn judge(address: SocketAddr, refused: &io::Error, holder: Option<Holder>) -> Finding {
    let is_ours = holder.as_ref().is_some_and(|holder| holder.name == OWN_NAME);
    let finding = Finding::of_address(address, refused, holder);
    if is_ours { beside_ourselves(finding) } else { finding }
}

/// Settings are most often checked while the server that they are for is running.
fn beside_ourselves(finding: Finding) -> Finding {
    if finding.code != ADDRESS_TAKEN {
        return finding;
    }
    let fix = "nothing, if that is the server that these settings are for; else listen elsewhere";
    Finding { exit: None, fix: fix.into(), ..finding }
}

/// How a start would end: by the first thing that is refused.
fn exit(findings: &[Finding]) -> Exit {
    findings.iter().find_map(|finding| finding.exit).unwrap_or(Exit::Clean)
}

pub(super) fn show(finding: &Finding, paint: Paint) -> String {
    let (word, tone) = match finding.exit {
        Some(_) => ("error", Tone::Bad),
        None => ("warning", Tone::Warn),
    };
    let head = paint.paint(tone, &format!("{word}[{}]", finding.code));
    format!("{head}: {}\n  = help: {}\n", finding.message, finding.fix)
}

pub(super) fn finding_to_json(finding: &Finding) -> serde_json::Value {
    json!({
        "code": finding.code,
        "exit": finding.exit.map(Exit::code),
        "message": finding.message,
        "fix": finding.fix,
    })
}

/// The short name of a running supervisor.
const OWN_NAME: &str = "corewise";

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str) -> Finding {
        let holder = Some(Holder { pid: 7, name: name.into() });
        let taken = io::ErrorKind::AddrInUse.into();
        judge("127.0.0.1:80".parse().unwrap(), &taken, holder)
    }

    #[test]
    fn our_own_server_on_the_port_is_no_error() {
        let (ours, other) = (finding("corewise"), finding("nginx"));
        assert_eq!((ours.exit, other.exit), (None, Some(Exit::System)));
        assert!(ours.fix.starts_with("nothing, if"), "{ours:?}");
        assert_eq!(exit(&[ours.clone(), other.clone()]), Exit::System);
        assert_eq!(exit(&[ours]), Exit::Clean);
        let shown = show(&other, Paint::Off);
        let expected = "\
error[E0401]: cannot listen on 127.0.0.1:80: the port is taken by pid 7 (nginx)
  = help: stop that process, or listen elsewhere with --bind
";
        assert_eq!(shown, expected);
    }
}
