//! What is wrong with the settings: as text for people, as JSON for programs.

use serde_json::{Value, json};

use super::output::{Paint, complain};
use crate::config::{Fault, Faults, Origin};
use crate::exit::Exit;

/// Prints all of them to standard error; returns how to leave.
pub(super) fn print(faults: &Faults) -> Exit {
    complain(&faults.render(Paint::of_errors() == Paint::On));
    if let Some(first) = faults.0.first() {
        complain(&format!("\nsay `corewise explain {}` to read more", first.code));
    }
    exit(faults)
}

/// How a command ends that cannot go on with them.
pub(super) fn exit(faults: &Faults) -> Exit {
    if faults.only_flags() { Exit::Usage } else { Exit::Config }
}

/// The answer of a command that cannot go on with them.
pub(super) fn to_object(faults: &Faults) -> Value {
    json!({ "faults": to_json(faults) })
}

/// All of them, as objects.
pub(super) fn to_json(faults: &Faults) -> Value {
    faults.0.iter().map(fault_to_json).collect()
}

fn fault_to_json(fault: &Fault) -> Value {
    let second = fault
        .second
        .as_ref()
        .map(|second| json!({ "place": place_to_json(&second.origin), "label": second.label }));
    json!({
        "code": fault.code,
        "key": fault.key,
        "place": place_to_json(&fault.origin),
        "message": fault.message,
        "label": fault.label,
        "second": second,
        "notes": fault.notes,
        "help": fault.help,
    })
}

/// A file with line and column (none where it cannot be read), a flag, a variable, or nothing.
fn place_to_json(origin: &Origin) -> Value {
    match origin {
        Origin::Default => Value::Null,
        Origin::Environment(name) => json!({ "variable": name }),
        Origin::File { source, .. } => {
            let place = origin.place().filter(|_| !source.text.is_empty());
            json!({
                "file": source.path,
                "line": place.map(|place| place.line),
                "column": place.map(|place| place.column),
            })
        }
        Origin::Flag(name) => json!({ "flag": format!("--{name}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::Id;
    use crate::config::{Machine, Sources};

    fn object(sources: &Sources) -> Value {
        let machine = Machine::uniform(&[0, 1], &[0, 1]);
        to_object(&sources.resolve(&machine).expect_err("something is wrong"))
    }

    #[test]
    fn a_fault_of_a_file_has_both_its_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corewise.toml");
        std::fs::write(&path, "[cores]\nshards = \"0-1\"\n[pool.ml]\ncores = \"1\"\n").unwrap();
        let file = path.display().to_string();
        let object = object(&Sources { file: Some(path), ..Sources::default() });
        let expected = json!({
            "code": "E0210",
            "key": "pool.ml.cores",
            "place": { "file": file, "line": 4, "column": 10 },
            "message": "CPU 1 is given to shards and to pool `ml`",
            "label": "claimed a second time here",
            "second": {
                "place": { "file": file, "line": 2, "column": 10 },
                "label": "first claimed by shards",
            },
            "notes": [
                "a busy worker there adds its whole time slice to the shard's latency",
            ],
            "help": "set `share = true` in the pool if this is meant (small machines)",
        });
        assert_eq!(object, json!({ "faults": [expected] }));
    }

    #[test]
    fn flags_variables_and_files_that_cannot_be_read_are_places_too() {
        let object = object(&Sources {
            file: Some("/nowhere/corewise.toml".into()),
            environment: vec![("COREWISE_LIMITS__BODY".into(), "x".into())],
            flags: vec![(Id::CoresShards, "y".into())],
            ..Sources::default()
        });
        let places: Vec<&Value> =
            object["faults"].as_array().unwrap().iter().map(|fault| &fault["place"]).collect();
        let file = json!({ "file": "/nowhere/corewise.toml", "line": null, "column": null });
        let variable = json!({ "variable": "COREWISE_LIMITS__BODY" });
        assert_eq!(places, [&file, &variable, &json!({ "flag": "--shards" })]);
        assert_eq!(object["faults"][0]["second"], Value::Null);
        assert_eq!(object["faults"][1]["key"], "limits.body");
    }
}
