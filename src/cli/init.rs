//! `corewise init`: writes the annotated configuration file for this machine. Every key stands in
//! it as a comment with its default, so that the file changes nothing until somebody does.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::output::{complain, wrap, write};
use crate::config::options::{OPTIONS, OptionDef, POOL_OPTIONS};
use crate::config::value::counted;
use crate::config::{Config, Machine, drawing};
use crate::exit::Exit;

/// Where the file goes, and what for.
#[derive(Debug)]
pub struct Init {
    /// Its path; `-` is standard output.
    pub path: PathBuf,
    /// Replace a file that is there.
    pub force: bool,
}

/// Writes the file, with what this machine is at its top.
pub(super) fn run(init: &Init) -> Exit {
    // A machine that does not say what it is gets a file that does not either.
    let text = annotated(&Machine::read().map(|machine| about(&machine)).unwrap_or_default());
    if init.path == Path::new("-") {
        return write(&text, Exit::Clean);
    }
    let path = init.path.display();
    match create(init).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => write(
            &format!(
                "wrote {path}; `corewise check` reads it, `corewise plan` shows what \
                            would happen\n"
            ),
            Exit::Clean,
        ),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            complain(&format!(
                "error: {path} exists\n  = help: to replace it, give --force; to see what would be \
                 written, give --print"
            ));
            Exit::Found
        }
        Err(error) => {
            complain(&format!("error: cannot write {path}: {error}"));
            if error.kind() == io::ErrorKind::PermissionDenied {
                Exit::Permission
            } else {
                Exit::System
            }
        }
    }
}

fn create(init: &Init) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.write(true);
    if init.force {
        options.create(true).truncate(true);
    } else {
        // Whatever is there, a link to nowhere too, was put there by somebody.
        options.create_new(true);
    }
    options.open(&init.path)
}

/// The drawing of a machine, and what a server without settings would do there.
fn about(machine: &Machine) -> String {
    let placement = Config::of_defaults(machine).placement;
    let shards = counted(placement.shards.len(), "shard");
    let cpus = counted(placement.usable.len(), "usable CPU");
    format!("{}\nBy default: {shards} on {cpus}.\n", drawing::machine(machine))
}

/// The whole file.
pub(super) fn annotated(machine: &str) -> String {
    let mut text = String::from(HEAD);
    for line in machine.lines() {
        text += format!("# {line}").trim_end();
        text += "\n";
    }
    text += "\nversion = 1\n";
    let mut table = "";
    for def in &OPTIONS {
        if def.table != table {
            table = def.table;
            // Naming a table of which nothing is available yet would be an error.
            let is_later =
                OPTIONS.iter().filter(|def| def.table == table).all(|def| def.later().is_some());
            text += &format!("\n{}[{table}]\n", if is_later { "#" } else { "" });
        }
        text += &entry(def);
    }
    text += &format!("\n{}#[pool.app]\n", comment(POOLS));
    text += &POOL_OPTIONS.iter().map(entry).collect::<String>();
    text += &format!("\n{ROUTES}");
    text
}

fn entry(def: &OptionDef) -> String {
    let mut text = comment(&format!("{}: {}", def.name, def.short));
    match def.later() {
        Some(needs) => text += &comment(&format!("Not in this version: {needs}.")),
        None => text += &comment(def.long),
    }
    let value = def.kind.parse(def.default).expect("a test parses every default");
    format!("{text}#{} = {}\n", def.name, value.to_toml())
}

fn comment(text: &str) -> String {
    wrap(text, COLUMNS).iter().map(|line| format!("# {line}\n")).collect()
}

const HEAD: &str = "\
# corewise.toml, as `corewise init` wrote it.
# check it: corewise check     see what will happen: corewise plan
#
# Every key is optional. A line like #key = value shows the default: take the # away and change it.
# Each key is also a variable, COREWISE_<TABLE>__<KEY>, and most are a flag of `corewise run`.
#
";
const POOLS: &str = "\
Pools of worker processes, each with its own name, queue and limits. This version checks and \
places them (corewise plan), and does not start them yet.";
const ROUTES: &str = "\
# Routes: the first that fits path, host and method answers; hosts and methods are optional.
# More about them: docs/routes.md.
#[[route]]
#path = \"/hello\"
#respond = { status = 200, type = \"text/plain\", body = \"hello\\n\" }
#
#[[route]]
#path = \"/old/*\"
#redirect = \"/new/*\"
";
const COLUMNS: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::fixtures::{machine, names};
    use crate::config::{Origin, Settings, Sources};

    fn file() -> String {
        annotated(&about(&machine("vm-2")))
    }

    /// The settings of a file with this text; nothing may be wrong with it.
    #[track_caller]
    fn read(text: &str) -> (Settings, Config) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corewise.toml");
        std::fs::write(&path, text).unwrap();
        let sources = Sources { file: Some(path), ..Sources::default() };
        let machine = Machine::uniform(&[0, 1], &[0, 1]);
        let config = sources.resolve(&machine).unwrap_or_else(|faults| panic!("{faults}"));
        (Settings::gather(&sources).0, config)
    }

    #[test]
    fn every_option_stands_in_it_as_a_comment() {
        let text = file();
        for def in OPTIONS.iter().chain(&POOL_OPTIONS) {
            let line = format!("\n#{} = ", def.name);
            assert!(text.contains(&line), "{}", def.key());
            assert!(text.contains(&format!("{}: ", def.name)), "{}", def.key());
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains("#   node 0 L3 0   0:+  1:+\n"), "{text}");
        assert!(text.contains("# By default: 2 shards on 2 usable CPUs.\n"), "{text}");
    }

    #[test]
    fn it_is_headed_by_whatever_the_machine_is() {
        for name in names() {
            let machine = machine(&name);
            let text = annotated(&about(&machine));
            for line in drawing::machine(&machine).lines() {
                assert!(text.contains(format!("\n# {line}").trim_end()), "{name}: {line:?}");
            }
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
            read(&text);
        }
    }

    #[test]
    fn it_changes_nothing() {
        let (settings, config) = read(&file());
        assert!(settings.pools().is_empty() && config.notices.is_empty());
        for def in &OPTIONS {
            assert_eq!(settings.get(def.id).origin, Origin::Default, "{}", def.key());
        }
    }

    /// The text without its marks before keys and tables that this version has.
    fn uncommented(text: &str) -> String {
        let mut table = "";
        let mut whole = String::new();
        for line in text.lines() {
            let bare = line.strip_prefix('#').filter(|bare| !bare.starts_with(' '));
            let bare = bare.unwrap_or(line);
            if let Some(name) = bare.strip_prefix('[') {
                let name = name.trim_end_matches(']');
                table = if name == "pool.app" { "pool.NAME" } else { name };
            }
            let name = bare.split(" = ").next().unwrap();
            let mut here = OPTIONS.iter().chain(&POOL_OPTIONS).filter(|def| def.table == table);
            let is_later = match here.clone().find(|def| def.name == name) {
                Some(def) => def.later().is_some(),
                None => here.all(|def| def.later().is_some()),
            };
            // Details of `once` are for a call, and by default there is none.
            let stays = is_later || name.starts_with("once.");
            whole += &format!("{}\n", if stays { line } else { bare });
        }
        whole
    }

    #[test]
    fn every_line_of_it_can_be_uncommented() {
        let text = file();
        let (keys, routes) = text.split_at(text.find("\n# Routes").unwrap());
        let routes = routes.replace("\n#[", "\n[").replace("\n#path", "\npath");
        let routes = routes.replace("\n#re", "\nre");
        let (settings, config) = read(&format!("{}{routes}", uncommented(keys)));
        assert_eq!(config.routes.len(), 2);
        let defaults = Settings::defaults();
        for def in OPTIONS.iter().filter(|def| def.later().is_none()) {
            let setting = settings.get(def.id);
            assert_eq!(setting.value, defaults.get(def.id).value, "{}", def.key());
            assert!(setting.origin.is_written(), "{}", def.key());
        }
        assert_eq!(settings.pools().len(), 1);
    }
}
