//! `corewise check`: every value with where it came from, and what it means on this machine.

use std::io::{self, Write as _};

use crate::config::cpus::cpu_list;
use crate::config::options;
use crate::config::{Config, Settings, Sources};
use crate::exit::Exit;

/// Prints settings that were found to be right.
pub(super) fn print(sources: &Sources, config: &Config) -> Exit {
    let (settings, _) = Settings::gather(sources);
    let text = render(&settings, config);
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Clean,
        Err(_) => Exit::Found,
    }
}

fn render(settings: &Settings, config: &Config) -> String {
    let mut text = String::new();
    let mut table = "";
    for def in options::available() {
        if def.table != table {
            table = def.table;
            text += &format!("[{table}]\n");
        }
        let setting = settings.get(def.id);
        let (value, origin) = (setting.value.to_string(), &setting.origin);
        text += &format!("{:<24} = {value:<24} # {origin}\n", def.name);
    }
    let cpus: Vec<usize> = config.placement.shards.iter().filter_map(|shard| shard.cpu).collect();
    let (shards, noun) = match config.placement.shards.len() {
        1 => ("1 shard".to_owned(), "CPU"),
        count => (format!("{count} shards"), "CPUs"),
    };
    text += &match cpus.is_empty() {
        true => format!("\n{shards}, not pinned\n"),
        false => format!("\n{shards} on {noun} {}\n", cpu_list(&cpus)),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Machine;
    use crate::config::options::Id;

    #[test]
    fn every_value_is_shown_with_its_origin() {
        let sources = Sources {
            environment: vec![("COREWISE_LIMITS__KEEP_ALIVE".into(), "3s".into())],
            flags: vec![(Id::CoresShards, "1".into())],
            ..Sources::default()
        };
        let machine = Machine::uniform(&[0, 1], &[0, 1]);
        let config = sources.resolve(&machine).unwrap();
        let text = render(&Settings::gather(&sources).0, &config);
        let has = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            text.lines().any(|shown| shown.split_whitespace().eq(words.iter().copied()))
        };
        assert!(has("keep-alive = 3s # env COREWISE_LIMITS__KEEP_ALIVE"), "{text}");
        assert!(has("shards = 1 # --shards"), "{text}");
        assert!(has("level = info # default"), "{text}");
        assert!(has("1 shard on CPU 0"), "{text}");
        let config = Sources::default().resolve(&machine).unwrap();
        let text = render(&Settings::gather(&Sources::default()).0, &config);
        assert!(text.ends_with("\n2 shards on CPUs 0-1\n"), "{text}");
    }
}
