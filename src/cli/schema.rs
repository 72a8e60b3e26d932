//! The file as a JSON Schema, for editors, from the same table as everything else.

use serde_json::{Map, Value, json};

use crate::config::options::{Availability, OPTIONS, OptionDef, POOL_OPTIONS};
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
            json!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^ *[0-9]+ *[A-Za-z]* *$" })
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
