//! The forms of text that options take.

use crate::config::address::is_network;
use crate::config::value::Kind;

pub(super) const ACCESS_TARGET: Kind = Kind::Text {
    noun: "a place for a log",
    form: "\"off\", \"stdout\", \"stderr\", or a path like \"/var/log/corewise/access.log\"",
    accepts: is_filled,
};
pub(super) const ADMIN: Kind = Kind::Texts {
    noun: "an address with a port",
    form: "an address like \"127.0.0.1:9100\"",
    accepts: is_socket,
};
pub(super) const AGENT: Kind = Kind::Text {
    noun: "an address with a port",
    form: "an address like \"127.0.0.1:9101\", or \"\" for none",
    accepts: |text| text.is_empty() || is_socket(text),
};
pub(super) const CONTROL: Kind = Kind::Text {
    noun: "a control socket",
    form: "\"unix:auto\", or a path like \"unix:/run/corewise.sock\"",
    accepts: |text| text.strip_prefix("unix:").is_some_and(is_filled),
};
pub(super) const ENTRY: Kind = Kind::Text {
    noun: "a module with a name in it",
    form: "a module and a name in it, like \"main:app\", or \"main:make()\" for a factory",
    accepts: is_entry,
};
pub(super) const ENTRY_OR_NONE: Kind = Kind::Text {
    noun: "a module with a function in it",
    form: "a module and a function in it, like \"main:migrate\", or \"\" for none",
    accepts: |text| text.is_empty() || is_entry(text),
};
pub(super) const FOLDER: Kind = Kind::Text {
    noun: "the path of a folder",
    form: "the path of a folder, like \".\"",
    accepts: is_filled,
};
pub(super) const FOLDER_AUTO: Kind = Kind::Text {
    noun: "the path of an interpreter",
    form: "\"auto\", or the path of an interpreter like \"/opt/venv/bin/python3\"",
    accepts: is_filled,
};
pub(super) const LOG_TARGET: Kind = Kind::Text {
    noun: "a place for a log",
    form: "\"stderr\", or a path like \"/var/log/corewise/corewise.log\"",
    accepts: is_filled,
};
pub(super) const NETWORKS: Kind = Kind::Texts {
    noun: "a network",
    form: "an address or a network like \"10.0.0.0/8\", or \"unix:\"",
    accepts: is_network,
};
pub(super) const REQUESTS: Kind = Kind::Texts {
    noun: "a request",
    form: "a method and a target, like \"GET /predict?q=warm\"",
    accepts: is_request,
};
pub(super) const ROOT_PATH: Kind = Kind::Text {
    noun: "a path to mount at",
    form: "a path like \"/shop\" without a slash at its end, or \"\" for none",
    accepts: |text| text.is_empty() || (text.starts_with('/') && !text.ends_with('/')),
};
pub(super) const URL_PATH: Kind = Kind::Text {
    noun: "a path",
    form: "a path like \"/-/ready\"",
    accepts: |text| text.starts_with('/'),
};
pub(super) const USER: Kind = Kind::Text {
    noun: "the name of a user",
    form: "the name of a user like \"www-data\", or \"\" for the one that started the server",
    accepts: |text| !text.contains(char::is_whitespace),
};

fn is_filled(text: &str) -> bool {
    !text.is_empty()
}

fn is_socket(text: &str) -> bool {
    text.parse::<std::net::SocketAddr>().is_ok()
}

/// `package.module:name.attribute`, and `()` behind it for a factory.
fn is_entry(text: &str) -> bool {
    let text = text.strip_suffix("()").unwrap_or(text);
    text.split_once(':').is_some_and(|(module, name)| is_dotted(module) && is_dotted(name))
}

/// Names with dots between them, each as Python would take it.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|name| {
        name.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && name.chars().all(|char| char.is_alphanumeric() || char == '_')
    })
}

fn is_request(text: &str) -> bool {
    text.split_once(' ').is_some_and(|(method, target)| {
        !method.is_empty()
            && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
            && target.starts_with('/')
            && target.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(kind.parse(text).is_ok(), "{text}");
        }
        for text in bad {
            let error = kind.parse(text).expect_err(text);
            assert!(error.fix.starts_with("write "), "{}", error.fix);
        }
    }

    #[test]
    fn forms() {
        check(ENTRY, &["main:app", "a.b_1:C.d", "main:make()"], &["", "main", "main:", ":app"]);
        check(ENTRY, &["später:app"], &["1a:b", "a..b:c", "a:b c", "a:b(1)", "main.py"]);
        check(ENTRY_OR_NONE, &["", "main:migrate"], &["migrate"]);
        check(
            REQUESTS,
            &["", "GET /", "GET /a?q=1, POST /b"],
            &["/", "get /", "GET a", "GET /a b"],
        );
        check(ROOT_PATH, &["", "/a"], &["/", "a", "/a/"]);
        check(AGENT, &["", "127.0.0.1:1", "[::1]:1"], &["127.0.0.1", "a:1"]);
        check(CONTROL, &["unix:auto", "unix:/a"], &["auto", "unix:", "127.0.0.1:1"]);
        check(USER, &["", "www-data"], &["a b"]);
        check(NETWORKS, &["", "10.0.0.0/8,unix:"], &["10.0.0.1/8"]);
        check(FOLDER, &["."], &["", "a\u{7}b"]);
        check(LOG_TARGET, &["stderr", "/a"], &[""]);
        check(ADMIN, &["127.0.0.1:1,[::1]:2"], &["1"]);
        check(URL_PATH, &["/-/live"], &["live"]);
    }
}
