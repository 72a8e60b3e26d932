//! The file as a JSON Schema, for editors, from the same table as everything else.

use serde_json::{Map, Value, json};

use crate::config::options::{Availability, OPTIONS, OptionDef, POOL_OPTIONS};
use crate::config::route::LATER;
use crate::config::value::Kind;

/// The schema of corewise.toml, as text.
#[must_use]
pub fn schema() -> String {
    let mut root = object(&OPTIONS, |def| format!("{}.{}", def.table, def.name));
    let properties = root["properties"].as_object_mut().expect("an object has properties");
    properties
        .insert("version".into(), json!({ "const": 1, "description": "the form of the file" }));
    let pool = object(&POOL_OPTIONS, |def| def.name.to_owned());
    let pools = json!({
        "type": "object",
        "description": "pools of worker processes, by their names",
        "additionalProperties": pool,
    });
    properties.insert("pool".into(), pools);
    let routes = json!({
        "type": "array",
        "description": "routes; the first that fits host, path and method answers",
        "items": route(),
    });
    properties.insert("route".into(), routes);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("corewise.toml");
    format!("{root:#}\n")
}

/// An object with a property for each option, nested where the path has dots.
fn object(table: &[OptionDef], path: impl Fn(&OptionDef) -> String) -> Value {
    let mut root = empty();
    for def in table {
        let path = path(def);
        let mut at = &mut root;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let properties = at["properties"].as_object_mut().expect("made by `empty`");
            let is_last = names.peek().is_none();
            at = properties
                .entry(name)
                .or_insert_with(|| if is_last { option(def) } else { empty() });
        }
    }
    root
}

/// A route; its keys have no line in the table of options.
fn route() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let mut properties = json!({
        "path": { "type": "string", "pattern": "^/" },
        "hosts": texts,
        "methods": texts,
        "redirect": { "type": "string", "description": "where to; {name} and * as in the path" },
        "status": { "enum": [301, 302, 303, 307, 308], "default": 302 },
        "respond": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "status": { "type": "integer", "minimum": 200, "maximum": 599, "default": 200 },
                "type": { "type": "string", "description": "the Content-Type" },
                "body": { "type": "string" },
                "file": { "type": "string", "description": "relative to the configuration file" },
                "headers": {
                    "type": "object",
                    "additionalProperties": { "type": ["string", "array"] },
                },
            },
        },
    });
    for (name, needs) in LATER {
        let description = format!("not available in this version: {needs}");
        properties[name] = json!({ "description": description, "not": {} });
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": ["path"],
        "additionalProperties": false,
    })
}

fn empty() -> Value {
    json!({ "type": "object", "properties": Map::new(), "additionalProperties": false })
}

fn option(def: &OptionDef) -> Value {
    if let Some(needs) = def.later() {
        // Nothing is valid: to name the key is an error.
        let description = format!("{}; not available in this version: {needs}", def.short);
        return json!({ "description": description, "not": {} });
    }
    let mut schema = kind(&def.kind, def);
    schema["description"] = json!(format!("{}. {}", def.short, def.long));
    schema["default"] = default(def);
    schema
}

/// The default as JSON: what TOML and JSON write alike is the same, the rest is a string.
fn default(def: &OptionDef) -> Value {
    let value = def.kind.parse(def.default).expect("a test parses every default");
    let toml = value.to_toml();
    serde_json::from_str(&toml).unwrap_or_else(|_| json!(def.default))
}

fn kind(kind: &Kind, def: &OptionDef) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match *kind {
        Kind::Addresses | Kind::Texts { .. } => {
            json!({ "type": ["array", "string"], "items": { "type": "string" } })
        }
        Kind::Auto(inner) => json!({ "anyOf": [{ "const": "auto" }, self::kind(inner, def)] }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": available(words, def) }),
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::CpuList | Kind::CpuSelect | Kind::Text { .. } => json!({ "type": "string" }),
        Kind::Cpus | Kind::Reserve => json!({ "type": ["integer", "string"], "minimum": 0 }),
        Kind::Fraction => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Percent { .. } => text("^ *[0-9]+ *% *$"),
        Kind::Rate { .. } => text("^ *[0-9]+ *[A-Za-z]* */s *$"),
        Kind::Size { .. } => {
            let pattern = "^ *[0-9]+ *[A-Za-z]* *$";
            json!({ "type": ["integer", "string"], "minimum": 0, "pattern": pattern })
        }
        Kind::Time { .. } => text("^ *(0|[0-9]+ *(ms|s|m|h)) *$"),
        Kind::TimeRange { .. } => text("^.+\\.\\..+$"),
        Kind::Tries => text("^ *[0-9]+ +in +.+$"),
        Kind::Variables => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
    }
}

/// The words that have an effect today.
fn available(words: &[&'static str], def: &OptionDef) -> Vec<&'static str> {
    let later = match def.availability {
        Availability::Except(later) => later,
        _ => &[],
    };
    let is_later = |word: &&str| later.iter().any(|(known, _)| known == word);
    words.iter().copied().filter(|word| !is_later(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::route::{ANSWER_KEYS, KEYS};
    use std::collections::BTreeSet;

    fn root() -> Value {
        serde_json::from_str(&schema()).unwrap()
    }

    /// The schema of a key, by the names that lead to it.
    fn find<'a>(root: &'a Value, path: &str) -> &'a Value {
        path.split('.').fold(root, |at, name| &at["properties"][name])
    }

    #[test]
    fn every_option_is_in_it() {
        let root = root();
        let pool = &root["properties"]["pool"]["additionalProperties"];
        let of_pools = POOL_OPTIONS.iter().map(|def| (def, find(pool, def.name)));
        let of_server = OPTIONS.iter().map(|def| (def, find(&root, &def.key())));
        for (def, found) in of_server.chain(of_pools) {
            assert!(found["description"].as_str().unwrap().starts_with(def.short), "{}", def.key());
            assert_eq!(found["not"].is_object(), def.later().is_some(), "{}", def.key());
        }
    }

    #[test]
    fn every_key_of_a_route_is_in_it() {
        let root = root();
        let route = &root["properties"]["route"]["items"]["properties"];
        let keys = |object: &Value| -> BTreeSet<String> {
            object.as_object().unwrap().keys().cloned().collect()
        };
        let later = LATER.iter().map(|(name, _)| *name);
        let expected = KEYS.into_iter().chain(later).map(str::to_owned).collect();
        assert_eq!(keys(route), expected);
        let expected = ANSWER_KEYS.into_iter().map(str::to_owned).collect();
        assert_eq!(keys(&route["respond"]["properties"]), expected);
    }

    #[test]
    fn nothing_unknown_passes() {
        let root = root();
        assert_eq!(root["additionalProperties"], false);
        assert_eq!(find(&root, "limits")["additionalProperties"], false);
        assert_eq!(find(&root, "log.access")["additionalProperties"], false);
    }

    #[track_caller]
    fn check(path: &str, expected: Value) {
        let found = find(&root(), path).clone();
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&found[key], value, "{path}: {found}");
        }
    }

    #[test]
    fn kinds_have_their_types() {
        check("limits.headers", json!({ "type": "integer", "minimum": 1, "default": 100 }));
        check("limits.keep-alive", json!({ "type": "string", "default": "75s" }));
        check("server.listen", json!({ "default": ["127.0.0.1:8000"] }));
        check("cores.smt", json!({ "enum": ["auto", "one", "both"] }));
        check("cores.shards", json!({ "type": ["integer", "string"] }));
        check("cores.pin", json!({ "anyOf": [{ "const": "auto" }, { "type": "boolean" }] }));
    }
}
