//! `corewise explain CODE`: what a code means, what brings it about, and what to do.

use super::output::{Paint, Tone, WIDTH, complain, wrap, write, write_json};
use crate::config::codes::{CODES, Code, Example, find};
use crate::config::suggest::nearest;
use crate::exit::Exit;

/// Explains one code, or lists all of them.
pub(super) fn run(written: Option<&str>, json: bool) -> Exit {
    let codes: Vec<&Code> = match written.map(|written| (written, find(written))) {
        None => CODES.iter().collect(),
        Some((_, Some(code))) => vec![code],
        Some((written, None)) => {
            complain(&unknown(written));
            return Exit::Usage;
        }
    };
    if json {
        let objects: Vec<_> = codes.iter().map(|code| to_json(code)).collect();
        return write_json(&serde_json::json!({ "codes": objects }), Exit::Clean);
    }
    let paint = Paint::of_output();
    match codes.as_slice() {
        [code] => write(&render(code, paint), Exit::Clean),
        codes => write(&list(codes), Exit::Clean),
    }
}

fn list(codes: &[&Code]) -> String {
    codes.iter().map(|code| format!("{}  {}\n", code.code, code.title)).collect()
}

fn render(code: &Code, paint: Paint) -> String {
    let title = paint.paint(Tone::Heading, &format!("{}: {}", code.code, code.title));
    let mut text = format!("{title}\n\n{}\n", paragraph(code.meaning));
    text += &format!("{}\n{}\n", paint.paint(Tone::Heading, "Example"), example(code.example));
    text += &format!("{}\n{}", paint.paint(Tone::Heading, "What to do"), paragraph(code.remedy));
    text
}

fn example(example: Example) -> String {
    let lines: Vec<String> = match example.text() {
        (text, true) => text.lines().map(str::to_owned).collect(),
        (text, false) => wrap(&text, WIDTH - 4),
    };
    let indented = lines.iter().map(|line| format!("    {line}"));
    indented.map(|line| format!("{}\n", line.trim_end())).collect()
}

fn paragraph(text: &str) -> String {
    wrap(text, WIDTH - 2).iter().map(|line| format!("  {line}\n")).collect()
}

fn to_json(code: &Code) -> serde_json::Value {
    serde_json::json!({
        "code": code.code,
        "title": code.title,
        "meaning": code.meaning,
        "example": code.example.text().0,
        "remedy": code.remedy,
    })
}

fn unknown(written: &str) -> String {
    let near = nearest(written, CODES.iter().map(|code| code.code));
    let help = match near {
        Some(near) => format!("a code with a similar name exists: {near}"),
        None => "`corewise explain` lists all codes".to_owned(),
    };
    format!("error: unknown code `{written}`\n  = help: {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained() {
        let expected = "\
E0103: unknown key

  A key that its table does not have, one outside of any table, or a COREWISE_
  variable that names no setting.

Example
    [limits]
    keepalive = \"75s\"

What to do
  Correct the name; the nearest one is suggested, or the table in which the key
  belongs.
";
        assert_eq!(render(find("E0103").unwrap(), Paint::Off), expected);
    }

    #[test]
    fn everything_fits_the_screen() {
        for code in CODES {
            let text = render(code, Paint::Off);
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
        let codes: Vec<&Code> = CODES.iter().collect();
        assert_eq!(list(&codes).lines().count(), CODES.len());
    }

    #[test]
    fn an_unknown_code_gets_a_suggestion() {
        assert!(unknown("E013").contains("exists: E01"), "{}", unknown("E013"));
        assert!(unknown("nonsense").contains("lists all codes"));
    }
}
