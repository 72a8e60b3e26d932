//! What is wrong with the settings, in a form that a person can act on.

use std::fmt;
use std::iter;
use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin as Named, Patch as Change, Renderer,
    Snippet,
};

use super::origin::{Origin, Source};

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// A stable code, for searching and explaining.
    pub code: &'static str,
    /// The setting, as `table.key`; empty when the fault is not about one.
    pub key: String,
    /// Where the value stands.
    pub origin: Origin,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What is shown at the place itself.
    pub label: String,
    /// The other place, if two clash.
    pub second: Option<Second>,
    /// What one should know about it.
    pub notes: Vec<String>,
    /// What to do about it.
    pub help: String,
    /// The change to the file that does it.
    pub patch: Option<Patch>,
}

/// Where the other of two values stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Second {
    /// The place.
    pub origin: Origin,
    /// What is shown there.
    pub label: String,
}

/// A change to the file of a fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Patch {
    /// What is replaced.
    pub span: Range<usize>,
    /// By what.
    pub text: String,
}

impl Fault {
    /// A fault without the parts that may be missing.
    pub(super) fn new(
        code: &'static str,
        key: impl Into<String>,
        origin: Origin,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            key: key.into(),
            origin,
            message: harmless(message),
            label: String::new(),
            second: None,
            notes: Vec::new(),
            help: String::new(),
            patch: None,
        }
    }

    /// What is shown at the place itself.
    #[must_use]
    pub(super) fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = harmless(label);
        self
    }

    /// The other place.
    #[must_use]
    pub(super) fn with_second(mut self, origin: Origin, label: impl Into<String>) -> Self {
        self.second = Some(Second { origin, label: harmless(label) });
        self
    }

    /// One more thing to know.
    #[must_use]
    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(harmless(note));
        self
    }

    /// What to do about it.
    #[must_use]
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = harmless(help);
        self
    }

    /// The fault as people see it, with the lines of the file that it is about.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        render(self, Level::ERROR, styled)
    }

    /// True for a value that cannot be read, false for one that does not fit the machine.
    fn is_about_form(&self) -> bool {
        self.code.starts_with("E01")
    }

    fn title(&self) -> String {
        if self.key.is_empty() {
            return self.message.clone();
        }
        format!("{}: {}", self.key, self.message)
    }
}

/// The text with nothing in it that could steer a terminal; line ends stay.
fn harmless(text: impl Into<String>) -> String {
    let text = text.into();
    let steers = |char: char| char.is_control() && char != '\n';
    if !text.contains(steers) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if steers(char) { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    shown
}

/// The fault of a setting that has no effect yet.
pub(super) fn not_yet(key: String, needs: &str, origin: Origin) -> Fault {
    Fault::new(NOT_YET, key, origin, "not available in this version yet")
        .with_label("later")
        .with_note(needs)
        .with_help("remove it")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Everything that is wrong, found in one run. Never empty where it is an error.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// True when every fault stands on the command line, which makes it a matter of usage.
    #[must_use]
    pub fn only_flags(&self) -> bool {
        self.0.iter().all(|fault| matches!(fault.origin, Origin::Flag(_)) && fault.is_about_form())
    }

    /// The faults as people see them. A file that is something else altogether has thousands of
    /// one kind; the first of them say it.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let mut codes: Vec<(&str, usize)> = Vec::new();
        let mut shown = Vec::new();
        for fault in &self.0 {
            let count = match codes.iter_mut().find(|(code, _)| *code == fault.code) {
                Some((_, count)) => count,
                None => &mut codes.push_mut((fault.code, 0)).1,
            };
            *count += 1;
            if *count <= SAME_CODE_MAX {
                shown.push(fault.render(styled));
            }
        }
        for (code, count) in codes.iter().filter(|(_, count)| *count > SAME_CODE_MAX) {
            shown.push(format!("error[{code}]: {} more like these", count - SAME_CODE_MAX));
        }
        shown.join("\n\n")
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Faults {}

/// Something that people should know about their settings although nothing is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// How much it matters.
    pub weight: Weight,
    /// What it is, where, and what can be done; without a code.
    pub fault: Fault,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weight {
    /// Good to know.
    Note,
    /// Works, but probably not as it was meant.
    Warning,
}

impl Notice {
    /// Good to know.
    pub(super) fn note(origin: Origin, message: impl Into<String>) -> Self {
        Self { weight: Weight::Note, fault: Fault::new("", "", origin, message) }
    }

    /// A warning with the parts of a fault.
    pub(super) fn warning(fault: Fault) -> Self {
        Self { weight: Weight::Warning, fault: Fault { code: "", ..fault } }
    }

    /// What to do about it.
    #[must_use]
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.fault.help = help.into();
        self
    }

    /// The notice in one sentence, with its origin.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} ({})", self.fault.title(), self.fault.origin)
    }

    /// The notice as people see it, with the lines of the file that it is about.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let level = match self.weight {
            Weight::Note => Level::NOTE,
            Weight::Warning => Level::WARNING,
        };
        render(&self.fault, level, styled)
    }
}

fn render(fault: &Fault, level: Level<'static>, styled: bool) -> String {
    let mut title = level.primary_title(fault.title());
    if !fault.code.is_empty() {
        title = title.id(fault.code);
    }
    let mut main = Group::with_title(title).elements(places(fault));
    main = main.elements(fault.notes.iter().map(|note| Level::NOTE.message(note)));
    let mut groups = Vec::new();
    match (&fault.patch, &fault.origin) {
        (Some(patch), Origin::File { source, .. }) => {
            let window = Window::around(source, iter::once(&patch.span));
            let change = Change::new(window.cut(&patch.span), patch.text.as_str());
            let snippet = window.snippet().patch(change);
            groups.extend([main, Level::HELP.secondary_title(&fault.help).element(snippet)]);
        }
        _ if fault.help.is_empty() => groups.push(main),
        _ => groups.push(main.element(Level::HELP.message(&fault.help))),
    }
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&groups)
}

/// The place of a fault and the second one, with the lines of the file where there is one.
fn places(fault: &Fault) -> Vec<Element<'_>> {
    let second = fault.second.as_ref();
    let (Origin::File { source, span }, false) = (&fault.origin, is_unread(&fault.origin)) else {
        let mut elements: Vec<Element<'_>> = vec![Named::path(fault.origin.to_string()).into()];
        elements.extend(second.map(|second| other_place(second)));
        return elements;
    };
    let primary = |window: &Window<'_>| mark(window, AnnotationKind::Primary, span, &fault.label);
    match second.map(|second| (&second.origin, &second.label)) {
        Some((Origin::File { source: other, span: second_span }, label)) if other == source => {
            let window = Window::around(source, [span, second_span].into_iter());
            let context = mark(&window, AnnotationKind::Context, second_span, label);
            vec![window.snippet().annotation(primary(&window)).annotation(context).into()]
        }
        _ => {
            let window = Window::around(source, iter::once(span));
            let first = window.snippet().annotation(primary(&window)).into();
            iter::once(first).chain(second.map(other_place)).collect()
        }
    }
}

/// A second place that is not in the file of the first.
fn other_place(second: &Second) -> Element<'_> {
    match &second.origin {
        Origin::File { source, span } if !is_unread(&second.origin) => {
            let window = Window::around(source, iter::once(span));
            let context = mark(&window, AnnotationKind::Context, span, &second.label);
            window.snippet().annotation(context).into()
        }
        origin => Level::NOTE.message(format!("{}: {origin}", second.label)).into(),
    }
}

fn is_unread(origin: &Origin) -> bool {
    matches!(origin, Origin::File { source, .. } if source.text.is_empty())
}

fn mark<'a>(
    window: &Window<'_>,
    kind: AnnotationKind,
    span: &Range<usize>,
    label: &'a str,
) -> Annotation<'a> {
    let annotation = kind.span(window.cut(span));
    if label.is_empty() { annotation } else { annotation.label(label) }
}

/// The lines of a file that are shown: the renderer is given no more of it.
struct Window<'a> {
    source: &'a Source,
    bytes: Range<usize>,
    line: usize,
}

impl<'a> Window<'a> {
    fn around<'b>(source: &'a Source, spans: impl Iterator<Item = &'b Range<usize>>) -> Self {
        let text = source.text.as_str();
        let (first, last) = spans.fold((text.len(), 0), |(first, last), span| {
            (first.min(span.start), last.max(span.end).min(text.len()))
        });
        let (first, last) = (text.floor_char_boundary(first), text.ceil_char_boundary(last));
        let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[last..].find('\n').map_or(text.len(), |newline| last + newline);
        Self { source, bytes: start..end, line: text[..start].matches('\n').count() + 1 }
    }

    fn snippet<T: Clone>(&self) -> Snippet<'a, T> {
        let text = &self.source.text[self.bytes.clone()];
        Snippet::source(text).line_start(self.line).path(self.source.path.as_str())
    }

    /// A span of the file as one of the window, on whole characters.
    fn cut(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.source.text.as_str();
        let place = |at: usize| at.clamp(self.bytes.start, self.bytes.end) - self.bytes.start;
        let start = place(text.floor_char_boundary(span.start));
        start..place(text.ceil_char_boundary(span.end)).max(start)
    }
}

/// So many faults with the same code are shown.
const SAME_CODE_MAX: usize = 10;

/// The file cannot be read at all.
pub(super) const UNREADABLE: &str = "E0100";
/// The file is not TOML.
pub(super) const SYNTAX: &str = "E0101";
/// A table that does not exist.
pub(super) const UNKNOWN_TABLE: &str = "E0102";
/// A key that does not exist.
pub(super) const UNKNOWN_KEY: &str = "E0103";
/// A value of another type than the option takes.
pub(super) const WRONG_TYPE: &str = "E0104";
/// A value that cannot be read or is out of bounds.
pub(super) const BAD_VALUE: &str = "E0105";
/// Something that a later version will have.
pub(super) const NOT_YET: &str = "E0106";
/// A value that two drop-ins set.
pub(super) const SET_TWICE: &str = "E0107";
/// A setting of the only pool where there is none, or where there are several.
pub(super) const WHICH_POOL: &str = "E0108";
/// A file with so many faults that the rest of it was not looked at.
pub(super) const TOO_MANY_FAULTS: &str = "E0109";
/// More shards than CPUs.
pub(super) const TOO_MANY_SHARDS: &str = "E0201";
/// A CPU that cannot be used.
pub(super) const CPU_UNUSABLE: &str = "E0202";
/// The same address twice.
pub(super) const ADDRESS_TWICE: &str = "E0203";
/// Two addresses of which one contains the other.
pub(super) const ADDRESSES_OVERLAP: &str = "E0204";
/// A CPU that two wishes claim.
pub(super) const CPU_TWICE: &str = "E0210";
/// `cores.use` leaves no CPU.
pub(super) const USE_LEAVES_NOTHING: &str = "E0211";
/// `cores.reserve` leaves no CPU.
pub(super) const RESERVE_TAKES_ALL: &str = "E0212";
/// CPUs are named, and nobody is to be pinned.
pub(super) const PIN_CONTRADICTS: &str = "E0213";
/// A cache or a node that this machine does not have.
pub(super) const NO_SUCH_GROUP: &str = "E0214";
/// Requests may take longer than a stop waits for them.
pub(super) const REQUEST_ABOVE_GRACE: &str = "E0220";
/// A job may wait longer than its request may take.
pub(super) const WAIT_ABOVE_REQUEST: &str = "E0221";
/// Fewer workers at most than to begin with.
pub(super) const MAX_BELOW_WORKERS: &str = "E0222";
/// More jobs at a time than there are slots.
pub(super) const CONCURRENCY_ABOVE_SLOTS: &str = "E0223";
/// Threads for an application that runs on one.
pub(super) const THREADS_FOR_ASGI: &str = "E0224";
/// A key that makes no sense for the kind of pool.
pub(super) const NOT_FOR_THIS_KIND: &str = "E0225";
/// Details of a call that is not made.
pub(super) const ONCE_WITHOUT_CALL: &str = "E0226";
/// A pool of built-in handlers that nothing is built in for, or one that is built in and asked to
/// be of another kind.
pub(super) const NO_CODE: &str = "E0227";
/// No routes, neither of the file nor of an application.
pub(super) const NOTHING_TO_SERVE: &str = "E0300";
/// A route without a path, or one that does nothing.
pub(super) const ROUTE_INCOMPLETE: &str = "E0301";
/// A route that answers and redirects.
pub(super) const ROUTE_TARGETS: &str = "E0302";
/// A path that is not a pattern.
pub(super) const BAD_PATTERN: &str = "E0303";
/// A host that is not one.
pub(super) const BAD_HOST: &str = "E0304";
/// A method that is not one, or that no route can have.
pub(super) const BAD_METHOD: &str = "E0305";
/// A fixed answer that cannot be sent.
pub(super) const BAD_ANSWER: &str = "E0306";
/// A header field that cannot be sent, or is not for a route.
pub(super) const BAD_FIELD: &str = "E0307";
/// A redirect that leads nowhere, or has another status.
pub(super) const BAD_REDIRECT: &str = "E0308";
/// The file of an answer cannot be read or is too large.
pub(super) const ROUTE_FILE: &str = "E0309";
/// A route in front of which another one takes everything.
pub(super) const ROUTE_UNREACHABLE: &str = "E0310";
/// A redirect that leads back to itself.
pub(super) const ROUTE_LOOP: &str = "E0311";
/// More routes, or more entries of a list, than are useful.
pub(super) const TOO_MANY_ROUTES: &str = "E0312";
