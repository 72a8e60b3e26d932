//! `corewise check`: everything that is wrong, in one run; then every value with where it came
//! from, how a change of it takes effect, and what the system does not grant.

use std::net::SocketAddr;

use serde_json::json;

use super::output::{Paint, Tone, complain, write, write_json};
use super::{Ask, Probe, resolve};
use crate::config::grants::{ADDRESS_TAKEN, Finding, Grants};
use crate::config::options::{Change, OPTIONS};
use crate::config::value::cpu_list;
use crate::config::{Config, Settings};
use crate::exit::Exit;
use crate::net::listener::try_address;
use crate::sys::host::Host;
use crate::sys::procfs::listener_holder;

pub(super) fn run(ask: &Ask, probe: Probe<'_>) -> Exit {
    let mut config = match resolve(&ask.sources) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let findings = ask_the_system(&mut config, probe);
    let (settings, _) = Settings::gather(&ask.sources);
    let exit = exit(&findings);
    if ask.json {
        let settings: Vec<_> = OPTIONS.iter().map(|def| setting_to_json(&settings, def)).collect();
        let findings: Vec<_> = findings.iter().map(finding_to_json).collect();
        return write_json(&json!({ "findings": findings, "settings": settings }), exit);
    }
    let paint = Paint::of_errors();
    for finding in &findings {
        complain(&show(finding, paint));
    }
    write(&render(&settings, &config), exit)
}

/// Everything that the system would refuse or cut.
pub(super) fn ask_the_system(config: &mut Config, probe: Probe<'_>) -> Vec<Finding> {
    let mut findings = refused_addresses(&config.server.listen);
    if let Err(trouble) = probe() {
        findings.push(Finding::of_engine(trouble.reason, trouble.fix));
    }
    let host = Host::read();
    let grants = Grants {
        locked_memory: host.ceilings.locked_memory,
        open_files: host.ceilings.open_files,
        somaxconn: host.somaxconn,
    };
    findings.extend(grants.fit(config));
    findings
}

fn refused_addresses(addresses: &[SocketAddr]) -> Vec<Finding> {
    let has_v4 = |port| addresses.iter().any(|other| other.is_ipv4() && other.port() == port);
    let refused = addresses.iter().filter_map(|address| {
        let error = try_address(*address, has_v4(address.port())).err()?;
        let holder = listener_holder(*address);
        let is_ours = holder.as_ref().is_some_and(|holder| holder.name == OWN_NAME);
        let finding = Finding::of_address(*address, &error.error, holder);
        Some(if is_ours { beside_ourselves(finding) } else { finding })
    });
    refused.collect()
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

fn render(settings: &Settings, config: &Config) -> String {
    let mut text = String::new();
    let mut table = "";
    for def in &OPTIONS {
        if def.table != table {
            table = def.table;
            text += &format!("[{table}]\n");
        }
        let setting = settings.get(def.id);
        let (value, origin) = (setting.value.to_string(), &setting.origin);
        let change = change_word(def.change);
        text += &format!("{:<23} = {value:<18} # {origin}; {change}\n", def.name);
    }
    let cpus: Vec<usize> = config.shards.iter().filter_map(|shard| shard.cpu).collect();
    let (shards, noun) = match config.shards.len() {
        1 => ("1 shard".to_owned(), "CPU"),
        count => (format!("{count} shards"), "CPUs"),
    };
    text += &format!("\n{shards} on {noun} {}\n", cpu_list(&cpus));
    text
}

fn setting_to_json(
    settings: &Settings,
    def: &crate::config::options::OptionDef,
) -> serde_json::Value {
    let setting = settings.get(def.id);
    json!({
        "key": def.key(),
        "value": setting.value.to_string(),
        "origin": setting.origin.to_string(),
        "change": change_word(def.change),
    })
}

fn change_word(change: Change) -> &'static str {
    match change {
        Change::Reload => "reload",
        Change::Restart => "restart",
    }
}

/// The short name of a running supervisor.
const OWN_NAME: &str = "corewise";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::Id;
    use crate::config::{Machine, Sources};

    #[test]
    fn every_value_is_shown_with_its_origin() {
        let sources = Sources {
            environment: vec![("COREWISE_LIMITS__KEEP_ALIVE".into(), "3s".into())],
            flags: vec![(Id::CoresShards, "1".into())],
            ..Sources::default()
        };
        let machine = Machine { online: vec![0, 1], allowed: vec![0, 1] };
        let config = sources.resolve(&machine).unwrap();
        let text = render(&Settings::gather(&sources).0, &config);
        let has = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            text.lines().any(|shown| shown.split_whitespace().eq(words.iter().copied()))
        };
        assert!(has("keep-alive = 3s # env COREWISE_LIMITS__KEEP_ALIVE; reload"), "{text}");
        assert!(has("shards = 1 # --shards; restart"), "{text}");
        assert!(has("level = info # default; reload"), "{text}");
        assert!(has("1 shard on CPU 0"), "{text}");
        let config = Sources::default().resolve(&machine).unwrap();
        let text = render(&Settings::gather(&Sources::default()).0, &config);
        assert!(text.ends_with("\n2 shards on CPUs 0-1\n"), "{text}");
    }
}
