//! `corewise check`: everything that is wrong, in one run; then every value with where it came
//! from, how a change of it takes effect, and what the system does not grant.

use serde_json::json;

use super::output::{Paint, Tone, WIDTH, complain, wrap, write, write_json};
use super::{Ask, Probe, read_machine, refuse, resolve_for, values};
use crate::config::grants::{ADDRESS_TAKEN, Finding, Grants};
use crate::config::route::nothing_to_serve;
use crate::config::value::counted;
use crate::config::{Address, Config, Notice, Purpose, Settings};
use crate::exit::Exit;
use crate::net::listener::{BindError, try_address, try_path};
use crate::sys::host::Host;
use crate::sys::procfs::{Holder, listener_holder};

/// What a check has found out.
pub(super) struct Checked {
    pub(super) config: Config,
    pub(super) settings: Settings,
    pub(super) findings: Vec<Finding>,
}

/// `serves` is true when the settings are to serve by themselves, without an application's routes.
pub(super) fn run(ask: &Ask, serves: bool, probe: Probe<'_>) -> Exit {
    let purpose = if serves { Purpose::Start } else { Purpose::Answer };
    let resolved = read_machine().and_then(|machine| resolve_for(ask, purpose, &machine));
    let (settings, mut config) = match resolved {
        Ok((_, config)) if serves && config.routes.is_empty() => {
            return refuse(&nothing_to_serve(config.file.as_deref()));
        }
        Ok(resolved) => resolved,
        Err(exit) => return exit,
    };
    let findings = ask_the_system(&mut config, probe);
    let checked = Checked { config, settings, findings };
    if ask.json {
        return write_json(&checked.to_json(), checked.exit());
    }
    for remark in remarks(&checked.config, &checked.findings, Paint::of_errors()) {
        complain(&format!("{remark}\n"));
    }
    write(&checked.render(), checked.exit())
}

impl Checked {
    pub(super) fn render(&self) -> String {
        let mut text = values::render(&self.settings);
        if self.exit() == Exit::Clean {
            text += &conclusion(&self.settings, &self.config);
        }
        text
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({
            "faults": [],
            "findings": self.findings.iter().map(finding_to_json).collect::<Vec<_>>(),
            "notices": self.config.notices.iter().map(Notice::sentence).collect::<Vec<_>>(),
            "settings": values::to_json(&self.settings),
        })
    }

    /// How a start would end: by the first thing that is refused.
    fn exit(&self) -> Exit {
        self.findings.iter().find_map(|finding| finding.exit).unwrap_or(Exit::Clean)
    }
}

/// What people should know about their settings, and what the system would cut or refuse.
pub(super) fn remarks(config: &Config, findings: &[Finding], paint: Paint) -> Vec<String> {
    let notices = config.notices.iter().map(|notice| notice.render(paint == Paint::On));
    notices.chain(findings.iter().map(|finding| show(finding, paint))).collect()
}

/// What was read, in a line.
fn conclusion(settings: &Settings, config: &Config) -> String {
    let files = match settings.files() {
        [] => "no configuration file".to_owned(),
        files => files.join(", "),
    };
    let shards = counted(config.placement.shards.len(), "shard");
    let routes = counted(config.routes.len(), "route");
    let idle = if config.routes.is_empty() { " (`corewise run` needs one)" } else { "" };
    format!("\nnothing is wrong: {files}; {shards}, {routes}{idle}\n")
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

fn refused_addresses(addresses: &[Address]) -> Vec<Finding> {
    let tcp = || addresses.iter().filter_map(Address::tcp);
    let has_v4 = |port| tcp().any(|other| other.is_ipv4() && other.port() == port);
    let refused = addresses.iter().filter_map(|address| {
        let tried = match address {
            Address::Tcp(address) => try_address(*address, has_v4(address.port())),
            Address::Unix(unix) => try_path(&unix.path),
            // They are there when the server is started, and not when somebody asks.
            Address::Descriptor(_) | Address::Systemd(_) => Ok(()),
        };
        Some(judge(address, &tried.err()?, address.tcp().and_then(listener_holder)))
    });
    refused.collect()
}

fn judge(address: &Address, refused: &BindError, holder: Option<Holder>) -> Finding {
    let is_ours = holder.as_ref().is_some_and(|holder| holder.name == OWN_NAME);
    let finding = Finding::of_address(address, refused.step, &refused.error, holder);
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

fn show(finding: &Finding, paint: Paint) -> String {
    let (word, tone) = match finding.exit {
        Some(_) => ("error", Tone::Bad),
        None => ("warning", Tone::Warn),
    };
    let head = paint.paint(tone, &format!("{word}[{}]", finding.code));
    let help = wrap(&finding.fix, WIDTH - HELP.len()).join(&format!("\n{:1$}", "", HELP.len()));
    format!("{head}: {}\n{HELP}{help}", finding.message)
}

pub(super) fn finding_to_json(finding: &Finding) -> serde_json::Value {
    json!({
        "code": finding.code,
        "exit": finding.exit.map(Exit::code),
        "message": finding.message,
        "fix": finding.fix,
    })
}

/// What stands before a help.
const HELP: &str = "  = help: ";
/// The short name of a running supervisor.
const OWN_NAME: &str = "corewise";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Machine;
    use std::io;

    fn finding(name: &str) -> Finding {
        let holder = Some(Holder { pid: 7, name: name.into() });
        let taken = bind_error(io::ErrorKind::AddrInUse);
        judge(&tcp("127.0.0.1:80"), &taken, holder)
    }

    fn exit_with<const N: usize>(findings: [Finding; N]) -> Exit {
        let machine = Machine::uniform(&[0, 1], &[0, 1]);
        let (config, settings) = (Config::of_defaults(&machine), Settings::defaults());
        Checked { config, settings, findings: findings.into() }.exit()
    }

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    fn bind_error(kind: io::ErrorKind) -> BindError {
        BindError { step: "bind", error: kind.into() }
    }

    #[test]
    fn our_own_server_on_the_port_is_no_error() {
        let (ours, other) = (finding("corewise"), finding("nginx"));
        assert_eq!((ours.exit, other.exit), (None, Some(Exit::System)));
        assert!(ours.fix.starts_with("nothing, if"), "{ours:?}");
        assert_eq!(exit_with([ours.clone(), other.clone()]), Exit::System);
        assert_eq!(exit_with([ours]), Exit::Clean);
        let shown = show(&other, Paint::Off);
        let expected = "\
error[E0401]: cannot listen on 127.0.0.1:80: the port is taken by pid 7 (nginx)
  = help: stop that process, or listen elsewhere with --bind";
        assert_eq!(shown, expected);
        let forbidden = bind_error(io::ErrorKind::PermissionDenied);
        let shown = show(&judge(&tcp("0.0.0.0:80"), &forbidden, None), Paint::Off);
        assert!(shown.lines().count() > 3, "{shown}");
        assert!(shown.lines().all(|line| line.len() <= WIDTH), "{shown}");
    }
}
