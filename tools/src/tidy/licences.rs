//! The licences of everything we build on, against the list in `deny.toml`.

use std::io;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::Finding;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

/// The part of `deny.toml` that is read here; cargo-deny reads all of it.
#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    /// What one package may be under although no other may.
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

/// Refuses every package whose licence expression cannot be met by the allowed licences.
pub(super) fn check(root: &Path) -> io::Result<Vec<Finding>> {
    let text = std::fs::read_to_string(root.join("deny.toml"))?;
    let deny: Deny = toml::from_str(&text).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("deny.toml: {error}"))
    })?;
    Ok(refused(&metadata(root)?.packages, &deny.licenses))
}

fn metadata(root: &Path) -> io::Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("cargo metadata: {}", reason.trim())));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn refused(packages: &[Package], licences: &Licences) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let expression = package.license.as_deref().unwrap_or("");
        let mut allowed = licences.allow.clone();
        for exception in licences.exceptions.iter().filter(|e| e.package == package.name) {
            allowed.extend(exception.allow.iter().cloned());
        }
        if !is_met(expression, &allowed) {
            let message = format!("{} {} is under {expression:?}", package.name, package.version);
            findings.push(Finding::of_file("deny.toml", "licences", message));
        }
    }
    findings
}

/// Whether an SPDX expression can be met. `/` is how it was written before SPDX; `WITH` adds
/// permissions to a licence and so counts as that licence with its exception, named as one.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&words, &mut at, allowed);
    met && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at, allowed);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = any_of(words, at, allowed);
        *at += usize::from(words.get(*at) == Some(&")"));
        return met;
    }
    // `+` offers later versions beside the one that is named.
    let mut name = word.trim_end_matches('+').to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_expression(expression: &str, expected: bool) {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(is_met(expression, &allowed.map(str::to_owned)), expected, "{expression}");
    }

    #[test]
    fn expressions_are_met_by_what_is_allowed() {
        check_expression("MIT", true);
        check_expression("MIT OR GPL-3.0", true);
        check_expression("MIT/Apache-2.0", true);
        check_expression("GPL-3.0 OR MIT", true);
        check_expression("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check_expression("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true);
    }

    #[test]
    fn and_everything_else_is_refused() {
        check_expression("GPL-3.0", false);
        check_expression("MIT AND GPL-3.0", false);
        check_expression("(GPL-3.0 OR LGPL-3.0) AND MIT", false);
        check_expression("GPL-3.0 WITH Classpath-exception", false);
        check_expression("", false);
        check_expression("MIT MIT", false);
    }

    #[track_caller]
    fn check_package(name: &str, license: Option<&str>, expected: usize) {
        let licences = Licences {
            allow: vec!["MIT".to_owned()],
            exceptions: vec![Exception {
                package: "special".to_owned(),
                allow: vec!["MPL-2.0".to_owned()],
            }],
        };
        let package = Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
        };
        let findings = refused(&[package], &licences);
        assert_eq!(findings.len(), expected, "{findings:?}");
        assert!(findings.iter().all(|f| f.message.contains(name)), "{findings:?}");
    }

    #[test]
    fn an_exception_holds_for_its_package_alone() {
        check_package("plain", Some("MIT"), 0);
        check_package("special", Some("MPL-2.0+"), 0);
        check_package("plain", Some("MPL-2.0+"), 1);
        check_package("special", Some("GPL-3.0"), 1);
    }

    #[test]
    fn a_package_without_a_licence_is_named() {
        check_package("plain", None, 1);
    }
}
