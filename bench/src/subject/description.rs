//! What a subject is, as its file says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustix::process::Signal;
use serde::Deserialize;

use super::answer::Route;
use super::command;
use crate::result::{Group, Role};

/// One file of `bench/subjects`, or one `--subject name=command`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Description {
    /// The file's name without its ending; `bare:direct+no-iowait` with options.
    #[serde(skip)]
    pub(crate) name: String,
    /// The server behind a relay, from `name:ADDRESS`.
    #[serde(skip)]
    pub(super) upstream: Option<SocketAddr>,
    /// For people.
    pub(crate) title: String,
    pub(crate) role: Role,
    /// File name of the program, or a path.
    pub(crate) program: String,
    /// Other programs that it starts.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    /// The command that builds it, for what is built here ...
    build: Option<String>,
    /// ... or the one that installs it.
    install: Option<String>,
    /// Arguments that make the program say its version.
    pub(super) version: Option<String>,
    /// Arguments of the server, with placeholders.
    pub(super) start: String,
    /// Arguments that are added for `name:a+b`, where `{options}` is `a,b`, or words if alone.
    options: Option<String>,
    /// Its configuration, with placeholders; `{config}` is the file's path.
    pub(super) config: Option<String>,
    /// What is put in front of the configuration when root starts it.
    pub(super) config_as_root: Option<String>,
    /// Files that it serves beside those of `{root}`, written into `{folder}`.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) ready: Readiness,
    /// Whether every path is answered with the text of /plaintext.
    #[serde(default)]
    pub(super) fixed: bool,
    /// Where a route has another path or text than elsewhere.
    #[serde(default)]
    pub(super) routes: BTreeMap<String, OwnRoute>,
    /// Columns and groups of columns that it does not do, and why.
    #[serde(default)]
    decline: BTreeMap<String, String>,
    /// Whether its first child can be killed, because another takes that one's place.
    #[serde(default)]
    child_may_die: bool,
    /// What makes it read its configuration again.
    pub(super) reload: Option<SignalName>,
    /// What makes it leave in good order.
    #[serde(default)]
    pub(super) stop: SignalName,
    /// What a reader must know to compare fairly.
    pub(crate) note: Option<String>,
}

/// How it is seen that connections are welcome.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Readiness {
    /// The first right answer.
    #[default]
    Answer,
    /// The line `ready http://ADDRESS`, by which the subject may also choose its port.
    Line,
}

/// A route under another name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnRoute {
    pub(super) path: String,
    pub(super) body: Option<String>,
}

/// The signals that servers take orders by.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SignalName {
    Hup,
    Quit,
    #[default]
    Term,
    Usr1,
    Usr2,
}

/// What can be done to a subject while it serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// One serving process is killed.
    Kill,
    /// The configuration is read again.
    Reload,
    /// The server is stopped, and started again on the same port.
    Restart,
}

impl Description {
    /// All subjects that this program knows, in the order of the report.
    pub(crate) fn embedded() -> Vec<Self> {
        let parse = |(name, text): &(&str, &str)| Self::parse(name, text);
        let all: Result<Vec<_>, _> = EMBEDDED.iter().map(parse).collect();
        all.expect("a test reads every embedded description")
    }

    /// The embedded subject of that name; `name:a+b` adds its options.
    pub(crate) fn named(word: &str) -> Result<Self, String> {
        let (name, options) = word.split_once(':').map_or((word, None), |(n, o)| (n, Some(o)));
        let Some(found) = Self::embedded().into_iter().find(|subject| subject.name == name) else {
            let names: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            return Err(format!(
                "no subject {name:?}; there are {names}, or --subject 'NAME=COMMAND'"
            ));
        };
        match options {
            Some(options) => found.with_options(word, options),
            None => Ok(found),
        }
    }

    /// Any server: `name=command`, with `{port}` and perhaps other placeholders in the command.
    pub(crate) fn from_command(text: &str) -> Result<Self, String> {
        let fault = |why: &str| format!("--subject {text:?}: {why}");
        let (name, command) =
            text.split_once('=').ok_or_else(|| fault("it is written NAME=COMMAND"))?;
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            return Err(fault(
                "a name is made of letters, digits, '.', '_' and '-', and begins with one of the \
                 first two",
            ));
        }
        if Self::embedded().iter().any(|known| known.name == name) {
            return Err(fault("that name is taken; choose another"));
        }
        if !command.contains("{port}") {
            return Err(fault("the command has no {port}, so that nobody knows where it listens"));
        }
        let command = command.trim_start();
        let (program, start) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let subject = Self {
            title: name.to_owned(),
            program: program.to_owned(),
            start: start.to_owned(),
            ..Self::parse(name, ADDED).expect("a test reads it")
        };
        subject.check().map_err(|why| fault(&why))
    }

    /// The command by which the program comes to this machine.
    pub(crate) fn get(&self) -> &str {
        let command = self.build.as_deref().or(self.install.as_deref());
        command.expect("`check` saw that one of them is there")
    }

    /// Why it is left out of a column, if it is.
    pub(crate) fn declines(&self, column: &str, group: Group) -> Option<&str> {
        let reason = self.decline.get(column).or_else(|| self.decline.get(group_name(group)));
        reason.map(String::as_str)
    }

    /// Whether the event can be made to happen to it; if not, why.
    pub(crate) fn supports(&self, event: Event) -> Result<(), String> {
        let possible = match event {
            Event::Kill => self.child_may_die,
            Event::Reload => self.reload.is_some(),
            Event::Restart => true,
        };
        if possible { Ok(()) } else { Err(event.without().to_owned()) }
    }

    /// Whether it needs a server behind it.
    pub(crate) fn needs_upstream(&self) -> bool {
        self.texts().any(|text| text.contains("{upstream}"))
    }

    /// How it is built or installed, configured and started, as a person would type it.
    pub(crate) fn commands(&self) -> Vec<String> {
        let mut commands = vec![self.get().to_owned()];
        if let Some(config) = self.config_text() {
            commands.push(format!("cat > {{config}} <<'END'\n{}\nEND", config.trim_end()));
        }
        commands.push(format!("taskset -c {{cpu}} {} {}", self.program, self.start));
        commands
    }

    /// Its configuration, with placeholders.
    pub(super) fn config_text(&self) -> Option<String> {
        let config = self.config.as_deref()?;
        let as_root =
            self.config_as_root.as_deref().filter(|_| rustix::process::geteuid().is_root());
        Some(format!("{}{config}", as_root.unwrap_or_default()))
    }

    fn with_options(mut self, word: &str, options: &str) -> Result<Self, String> {
        if self.needs_upstream() {
            let fault = |_| format!("subject {word:?}: {options:?} is no ADDRESS:PORT to relay to");
            self.upstream = Some(options.parse().map_err(fault)?);
        } else if let Some(form) = &self.options {
            // Alone they are words, behind a flag they are its list.
            let between = if form == "{options}" { " " } else { "," };
            let options = form.replace("{options}", &options.replace('+', between));
            self.start = format!("{} {options}", self.start);
        } else {
            return Err(format!("subject {:?} takes no options, so {word:?} is none", self.name));
        }
        self.title = format!("{} ({word})", self.title);
        self.name = word.to_owned();
        Ok(self)
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let parsed: Self =
            toml::from_str(text).map_err(|fault| format!("subject {name}: {fault}"))?;
        let named = Self { name: name.to_owned(), ..parsed };
        named.check().map_err(|why| format!("subject {name}: {why}"))
    }

    /// What the form of the file cannot say.
    fn check(self) -> Result<Self, String> {
        if self.build.is_some() == self.install.is_some() {
            return Err("exactly one of `build` and `install` says how to come by it".to_owned());
        }
        if self.config_as_root.is_some() && self.config.is_none() {
            return Err(
                "`config-as-root` is put in front of a `config`, and there is none".to_owned()
            );
        }
        if let Some(route) = self.routes.keys().find(|name| !Route::NAMES.contains(&name.as_str()))
        {
            let names = Route::NAMES.join(", ");
            return Err(format!("`routes` knows no {route:?}; there are {names}"));
        }
        for text in self.texts() {
            command::check(text)?;
        }
        command::words(&self.start)?;
        Ok(self)
    }

    /// Everything that placeholders may stand in.
    fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.start), self.config.as_ref(), self.config_as_root.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

impl Event {
    /// Why a subject that says nothing of it does not have it.
    fn without(self) -> &'static str {
        match self {
            Self::Kill => "one process: nothing would be left to serve",
            Self::Reload => "it cannot read its configuration again while it serves",
            Self::Restart => "it can only be started once",
        }
    }
}

impl SignalName {
    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Hup => Signal::HUP,
            Self::Quit => Signal::QUIT,
            Self::Term => Signal::TERM,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
        }
    }
}

/// How a group is written in data.json, and here.
fn group_name(group: Group) -> &'static str {
    match group {
        Group::KeepAlive => "keep_alive",
        Group::Pipelined => "pipelined",
        Group::Close => "close",
        Group::Files => "files",
        Group::Latency => "latency",
        Group::Mixed => "mixed",
        Group::Event => "event",
        Group::Idle => "idle",
        Group::Start => "start",
    }
}

/// What all subjects of `--subject` have in common.
const ADDED: &str = "\
title = ''
role = 'peer'
program = ''
install = 'put the program into PATH, or write its path into --subject'
start = '{port}'
note = 'started by --subject'
";
/// The files of `bench/subjects`, in the order of the report.
const EMBEDDED: &[(&str, &str)] = &[
    ("bare", include_str!("../../subjects/bare.toml")),
    ("bare2", include_str!("../../subjects/bare2.toml")),
    ("corewise", include_str!("../../subjects/corewise.toml")),
    ("glommio", include_str!("../../subjects/glommio.toml")),
    ("hyper", include_str!("../../subjects/hyper.toml")),
    ("actix", include_str!("../../subjects/actix.toml")),
    ("axum", include_str!("../../subjects/axum.toml")),
    ("ntex", include_str!("../../subjects/ntex.toml")),
    ("may-minihttp", include_str!("../../subjects/may-minihttp.toml")),
    ("nginx", include_str!("../../subjects/nginx.toml")),
    ("h2o", include_str!("../../subjects/h2o.toml")),
    ("lighttpd", include_str!("../../subjects/lighttpd.toml")),
    ("haproxy", include_str!("../../subjects/haproxy.toml")),
    ("haproxy-relay", include_str!("../../subjects/haproxy-relay.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str =
        "title = 'a'\nrole = 'peer'\nprogram = 'a'\ninstall = 'get a'\nstart = ''\n";

    #[track_caller]
    fn check_refused(lines: &str, expected: &str) {
        let fault = Description::parse("a", &format!("{SMALL}{lines}")).unwrap_err();
        assert!(fault.starts_with("subject a: ") && fault.contains(expected), "{fault}");
    }

    #[test]
    fn every_file_is_embedded_and_can_be_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/subjects");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let mut known: Vec<String> =
            Description::embedded().into_iter().map(|subject| subject.name).collect();
        files.sort();
        known.sort();
        assert_eq!(files, known);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_its_place() {
        check_refused("colour = 'red'", "unknown field `colour`");
        check_refused("colour = 'red'", "line 6");
        check_refused("role = 'peer'", "duplicate key");
        check_refused("config = '{prot}'", "no placeholder {prot}");
        check_refused("build = 'make'", "exactly one of `build` and `install`");
        check_refused("config-as-root = 'user'", "there is none");
        check_refused("reload = 'usr3'", "usr3");
        check_refused("[routes.fortune]\npath = '/'", "no \"fortune\"");
        assert!(Description::parse("a", "title = 'a'").unwrap_err().contains("missing field"));
        assert!(Description::parse("a", SMALL).is_ok());
    }

    #[test]
    fn names_may_carry_options() {
        let subject = Description::named("bare:direct+no-iowait").unwrap();
        assert_eq!(subject.name, "bare:direct+no-iowait");
        assert!(subject.start.ends_with("--ring direct,no-iowait"), "{}", subject.start);
        let subject = Description::named("corewise:--a=1+--b=2").unwrap();
        assert!(subject.start.ends_with(" --a=1 --b=2"), "{}", subject.start);
        assert!(Description::named("nginx:fast").unwrap_err().contains("no options"));
        assert!(Description::named("apache").unwrap_err().contains("nginx"));
    }

    #[test]
    fn any_command_can_be_a_subject() {
        let subject = Description::from_command("mine=./serve --port {port} 'a b'").unwrap();
        assert_eq!((subject.name.as_str(), subject.program.as_str()), ("mine", "./serve"));
        assert_eq!(subject.start, "--port {port} 'a b'");
        assert_eq!(subject.role, Role::Peer);
        let refused = |text| Description::from_command(text).unwrap_err();
        assert!(refused("serve {port}").contains("NAME=COMMAND"));
        assert!(refused("a/b=serve {port}").contains("letters"));
        assert!(refused("nginx=serve {port}").contains("taken"));
        assert!(refused("mine=serve").contains("{port}"));
        assert!(refused("mine=serve {port} '").contains("nothing closes"));
    }

    #[test]
    fn columns_and_groups_are_declined_with_a_reason() {
        let text = format!("{SMALL}[decline]\nmixed = 'one'\nuser-32 = 'two'");
        let subject = Description::parse("a", &text).unwrap();
        assert_eq!(subject.declines("mixed-16", Group::Mixed), Some("one"));
        assert_eq!(subject.declines("user-32", Group::KeepAlive), Some("two"));
        assert_eq!(subject.declines("user-256", Group::KeepAlive), None);
    }

    #[test]
    fn events_need_to_be_described() {
        let subject = Description::parse("a", SMALL).unwrap();
        assert!(subject.supports(Event::Restart).is_ok());
        assert!(subject.supports(Event::Kill).unwrap_err().contains("one process"));
        assert!(subject.supports(Event::Reload).is_err());
        let nginx = Description::named("nginx").unwrap();
        assert!(nginx.supports(Event::Kill).is_ok() && nginx.supports(Event::Reload).is_ok());
    }

    #[test]
    fn commands_can_be_typed() {
        let commands = Description::named("haproxy-relay").unwrap().commands();
        assert_eq!(commands[0], "apt-get install haproxy");
        assert!(commands[1].starts_with("cat > {config} <<'END'\n"), "{}", commands[1]);
        assert_eq!(commands[2], "taskset -c {cpu} haproxy -W -db -f {config}");
        let relay = Description::named("haproxy-relay:127.0.0.1:80").unwrap();
        assert_eq!(relay.upstream.unwrap().port(), 80);
        assert!(Description::named("haproxy-relay:here").unwrap_err().contains("ADDRESS:PORT"));
        let relays: Vec<String> = Description::embedded()
            .into_iter()
            .filter(Description::needs_upstream)
            .map(|subject| subject.name)
            .collect();
        assert_eq!(relays, ["haproxy-relay"]);
    }
}
