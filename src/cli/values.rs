//! Every effective value with where it came from and how a change of it takes effect.

use serde_json::json;

use crate::config::options::{self, Change, OptionDef, POOL_OPTIONS};
use crate::config::{Setting, Settings};

/// The values as a file would have them, each with a comment.
pub(super) fn render(settings: &Settings) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for shown in all(settings) {
        if shown.table != last {
            let blank = if last.is_empty() { "" } else { "\n" };
            text += &format!("{blank}[{}]\n", shown.table);
            last.clone_from(&shown.table);
        }
        let (value, origin) = (shown.setting.value.to_toml(), &shown.setting.origin);
        let left = format!("{:<23} = {value}", shown.def.name);
        text += &format!("{left:<46} # {origin}; {}\n", change(shown.def.change));
    }
    text
}

/// The same for programs: a list of objects.
pub(super) fn to_json(settings: &Settings) -> serde_json::Value {
    let objects = all(settings).map(|shown| {
        json!({
            "key": format!("{}.{}", shown.table, shown.def.name),
            "value": shown.setting.value.to_string(),
            "origin": shown.setting.origin.to_string(),
            "change": change(shown.def.change),
        })
    });
    objects.collect()
}

/// An option of the server or of a pool.
struct Shown<'a> {
    table: String,
    def: &'static OptionDef,
    setting: &'a Setting,
}

/// Everything that has an effect, in the order of the file.
fn all(settings: &Settings) -> impl Iterator<Item = Shown<'_>> {
    let of_server = options::available().map(|def| Shown {
        table: def.table.to_owned(),
        def,
        setting: settings.get(def.id),
    });
    let of_pools = settings.pools().iter().flat_map(|pool| {
        POOL_OPTIONS.iter().filter(|def| def.later().is_none()).map(|def| Shown {
            table: format!("pool.{}", pool.name),
            def,
            setting: pool.get(def.id),
        })
    });
    of_server.chain(of_pools)
}

/// What a change of a value needs.
fn change(change: Change) -> &'static str {
    match change {
        Change::Reload => "reload",
        Change::Restart => "restart",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::config::options::Id;

    #[test]
    fn every_value_is_shown_with_its_origin() {
        let sources = Sources {
            environment: vec![("COREWISE_LIMITS__KEEP_ALIVE".into(), "3s".into())],
            flags: vec![(Id::CoresShards, "1".into())],
            ..Sources::default()
        };
        let (settings, faults) = Settings::gather(&sources);
        assert!(faults.0.is_empty(), "{faults}");
        let text = render(&settings);
        let start = "\
[server]
listen                  = [\"127.0.0.1:8000\"]   # default; restart
";
        assert!(text.starts_with(start), "{text}");
        for (name, value, comment) in [
            ("keep-alive", "\"3s\"", "env COREWISE_LIMITS__KEEP_ALIVE; reload"),
            ("shards", "1", "--shards; restart"),
            ("level", "\"info\"", "default; reload"),
        ] {
            let line = format!("{:<46} # {comment}", format!("{name:<23} = {value}"));
            assert!(text.lines().any(|shown| shown == line), "{line:?} is not in {text}");
        }
        let json = to_json(&settings);
        let shards = json.as_array().unwrap().iter().find(|value| value["key"] == "cores.shards");
        let expected = json!({
            "key": "cores.shards", "value": "1", "origin": "--shards", "change": "restart",
        });
        assert_eq!(shards, Some(&expected));
    }

    #[test]
    fn pools_are_shown_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corewise.toml");
        std::fs::write(&path, "[pool.app]\nworkers = 2\n[pool.ml]\n").unwrap();
        let sources = Sources { file: Some(path), ..Sources::default() };
        let text = render(&Settings::gather(&sources).0);
        let app = text.split("[pool.app]").nth(1).unwrap();
        assert!(app.contains("workers                 = 2"), "{app}");
        assert!(app.contains("corewise.toml:2; reload"), "{app}");
        assert!(app.contains("\n[pool.ml]\n"), "{app}");
    }
}
