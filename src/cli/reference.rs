//! docs/configuration.md and docs/codes.md: every key and every code, for reading.

use std::fmt::Write as _;

use crate::config::codes::CODES;
use crate::config::options::{Change, OPTIONS, OptionDef, POOL_OPTIONS};

/// The page of all keys.
#[must_use]
pub fn configuration() -> String {
    let mut page = String::from(CONFIGURATION_HEAD);
    let mut table = "";
    for def in &OPTIONS {
        if def.table != table {
            table = def.table;
            // Writing to a String cannot fail, here and below.
            let _ = write!(page, "\n## [{table}]\n");
        }
        page += &option(def);
    }
    page += POOLS_HEAD;
    page += &POOL_OPTIONS.iter().map(option).collect::<String>();
    page
}

/// The page of all codes.
#[must_use]
pub fn codes() -> String {
    let mut page = String::from(CODES_HEAD);
    for code in CODES {
        let (text, is_toml) = code.example.text();
        let language = if is_toml { "toml" } else { "" };
        let example = format!("```{language}\n{}\n```", text.trim_end());
        let (title, meaning, remedy) = (code.title, code.meaning, code.remedy);
        let _ = write!(page, "\n## {}: {title}\n\n{meaning}\n\n{example}\n\n{remedy}\n", code.code);
    }
    page
}

fn option(def: &OptionDef) -> String {
    let mut text = format!("\n### {}\n\n", def.key());
    let _ = write!(text, "{}. {}\n\n", sentence(def.short), def.long);
    if let Some(needs) = def.later() {
        let _ = write!(text, "**Not in this version:** {needs}. To name it is an error.\n\n");
    }
    let value = def.kind.parse(def.default).expect("a test parses every default");
    let _ = writeln!(text, "- default: `{}`", value.to_toml());
    let example = def.kind.example();
    let _ = writeln!(text, "- value: {}", example.strip_prefix("write ").unwrap_or(&example));
    if def.later().is_none() {
        let _ = writeln!(text, "- flag: {}; variable: `{}`", flags(def), def.variable());
    }
    let _ = writeln!(text, "- a change needs: {}", change(def.change));
    let _ = writeln!(text, "- cost: {}", def.cost);
    text
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn flags(def: &OptionDef) -> String {
    let mut flags: Vec<String> = def.short_flag.iter().map(|short| format!("`-{short}`")).collect();
    flags.push(format!("`--{}`", def.shown_flag()));
    flags.join(", ")
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Reload => "a reload",
        Change::Restart => "a restart",
    }
}

const CONFIGURATION_HEAD: &str = "\
# Configuration

Every setting of `corewise.toml`, from the same table as the program's flags and messages. This
page is generated; `corewise init` writes the same as a file for your machine, `corewise check`
reads one, `corewise plan` shows what comes of it. For editors there is `corewise.schema.json`
beside this page.

Values come, strongest first, from flags, from variables `COREWISE_<TABLE>__<KEY>`, from drop-ins
(`corewise.d/*.toml`), from the file, from variables that platforms set (`PORT`,
`WEB_CONCURRENCY`), and from the defaults. The file is `corewise.toml` where the server is
started, or what `--config` or `COREWISE_CONFIG` names.
";
const POOLS_HEAD: &str = "
## [pool.NAME]

Pools of worker processes, any number of them, each with a name of your choice. This version
checks and places them; it does not start them yet. A flag is for the only pool; in a variable
the name stands in capitals, as in `COREWISE_POOL__APP__WORKERS`.
";
const CODES_HEAD: &str = "\
# Codes

What the codes in messages mean; `corewise explain CODE` says the same. This page is generated.
E01: the form of what was written. E02: settings that contradict each other or the machine. E03:
routes. E04: what the system does not grant.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_and_code_is_described() {
        let page = configuration();
        for def in OPTIONS.iter().chain(&POOL_OPTIONS) {
            assert!(page.contains(&format!("\n### {}\n", def.key())), "{}", def.key());
        }
        let page = codes();
        for code in CODES {
            assert!(page.contains(&format!("\n## {}: ", code.code)), "{}", code.code);
        }
    }
}
