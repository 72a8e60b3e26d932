//! Where unsafe code may stand, and the proof that it owes.

use super::Finding;
use super::source::{Source, find_word, is_word};

/// Modules of the library that may hold unsafe code; `lib.rs` forbids it on every other one.
const MAY_BE_UNSAFE: &[&str] = &["net", "offload", "sys"];

/// Refuses unsafe code without its proof, and modules of the library without their policy.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.path == "src/lib.rs" {
        findings.extend(policy(source));
    }
    for index in 0..source.lines.len() {
        if let Some(message) = unproved(source, index) {
            findings.push(Finding::new(source, index, "safety", message));
        }
    }
    findings
}

/// Every module that `lib.rs` names carries `#[forbid(unsafe_code)]`, the three above excepted.
fn policy(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut forbidden = false;
    for (index, line) in source.lines.iter().enumerate() {
        let code = line.code.trim();
        if code.contains("#[forbid(unsafe_code)]") {
            forbidden = true;
        }
        let Some(at) = find_word(code, "mod") else {
            // Other attributes may stand between the policy and its module.
            forbidden &= code.starts_with("#[") || code.is_empty();
            continue;
        };
        let name: String = code[at + 3..].trim().chars().take_while(|&c| is_word(c)).collect();
        if !forbidden && !line.test && !MAY_BE_UNSAFE.contains(&name.as_str()) {
            let message = format!("module `{name}` lacks #[forbid(unsafe_code)]");
            findings.push(Finding::new(source, index, "safety", message));
        }
        forbidden = false;
    }
    findings
}

/// What the unsafe code that begins on line `index` lacks.
fn unproved(source: &Source, index: usize) -> Option<&'static str> {
    let code = &source.lines[index].code;
    let at = find_word(code, "unsafe")?;
    let rest = code[at + "unsafe".len()..].trim_start();
    let named_function = rest.find("fn ").map(|found| rest[found + 3..].trim_start());
    let is_definition = rest.starts_with("fn ") || rest.starts_with("extern");
    if is_definition && named_function.is_some_and(|name| name.starts_with(is_word)) {
        return (!source.comment_of(index).contains("# Safety"))
            .then_some("an unsafe function has a `# Safety` section with the caller's duties");
    }
    let is_block = rest.is_empty() || rest.starts_with('{') || rest.starts_with("impl");
    (is_block && !source.comment_of(index).contains("SAFETY:"))
        .then_some("`// SAFETY:` goes before it, as a proof that a stranger can check")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_rule(path: &str, text: &str, expected: usize) {
        let findings = check(&Source::new(path, text));
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn blocks_need_a_proof() {
        check_rule("src/sys/a.rs", "fn a() {\n    unsafe { b() }\n}", 1);
        check_rule("src/sys/a.rs", "fn a() {\n    // SAFETY: c holds.\n    unsafe { b() }\n}", 0);
        check_rule("src/sys/a.rs", "// SAFETY: c.\nlet a =\n    unsafe { b() };", 0);
        check_rule("src/sys/a.rs", "// SAFETY: c.\nlet a = b;\nlet d = unsafe { e() };", 1);
        check_rule("src/sys/a.rs", "unsafe impl Send for A {}", 1);
        check_rule("src/sys/a.rs", "// SAFETY: c.\nunsafe impl Send for A {}", 0);
    }

    #[test]
    fn functions_need_duties() {
        check_rule("src/sys/a.rs", "/// Does b.\npub unsafe fn a() {}", 1);
        check_rule("src/sys/a.rs", "/// # Safety\n/// c.\n#[inline]\npub unsafe fn a() {}", 0);
        check_rule("src/sys/a.rs", "type A = unsafe extern \"C\" fn(u32);", 0);
        check_rule("src/sys/a.rs", "#[unsafe(no_mangle)]\nfn a() {}", 0);
    }

    #[test]
    fn the_root_shows_the_policy_of_every_module() {
        check_rule("src/lib.rs", "#[forbid(unsafe_code)]\npub mod http;\npub mod net;", 0);
        check_rule("src/lib.rs", "#[forbid(unsafe_code)]\n#[doc(hidden)]\npub mod http;", 0);
        check_rule("src/lib.rs", "pub mod http;", 1);
        check_rule("src/lib.rs", "#[forbid(unsafe_code)]\npub mod http;\nmod router;", 1);
        check_rule("src/lib.rs", "#[forbid(unsafe_code)]\npub use a::b;\nmod router;", 1);
    }
}
