//! Draws a machine and a placement for a person: plain text, 80 columns, a legend in words.
//!
//! A line has the CPUs of one cache, first threads above second ones, each as `number:who`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::cpus::cpu_list;
use super::machine::{Cpu, Machine, Unusable};
use super::placement::{FAST_PERCENT, Placement, Thousandths, WorkerPlace};
use super::value::{Bytes, counted};

/// The machine, and what of it this process may use.
#[must_use]
pub fn machine(machine: &Machine) -> String {
    let mut legend: BTreeMap<&str, &str> = BTreeMap::new();
    let top = machine.cpus.iter().map(|cpu| cpu.capacity).max().unwrap_or(1);
    let mut label = |cpu: &Cpu| {
        let (mark, meaning) = match machine.why_unusable(cpu.number) {
            Some(Unusable::Cpuset) => ("c", "outside of the cpuset of the control group"),
            Some(_) => ("m", "outside of the affinity mask of this process"),
            None if is_slow(cpu, top) => ("s", "usable, slower than 80 % of the strongest"),
            None => ("+", "usable"),
        };
        legend.insert(mark, meaning);
        mark.to_owned()
    };
    let grid = Grid::new(machine.cpus.iter().map(|cpu| (cpu.number, label(cpu))).collect());
    let mut text = format!("{}\n\n{}\n", counts(machine), grid.render(machine));
    let mut rows: Vec<(String, String)> =
        legend.into_iter().map(|(mark, meaning)| (mark.to_owned(), meaning.to_owned())).collect();
    rows.push(("usable".into(), listed(&machine.usable())));
    rows.extend(limits(machine));
    table(&mut text, &rows);
    notes(&mut text, machine.notes.iter().map(|note| (note.as_str(), "")));
    text
}

/// Where every process runs.
#[must_use]
pub fn placement(machine: &Machine, placement: &Placement) -> String {
    let mut text = String::new();
    match &placement.floating {
        Some(why) => {
            let cpus = placement.floating_cpus();
            let place = if cpus.is_empty() { "any CPU".into() } else { listed(&cpus) };
            let mut rows = vec![("not pinned".to_owned(), why.clone())];
            rows.push(("everybody".into(), format!("on {place}, wherever the kernel decides")));
            rows.push(("shards".into(), placement.shards.len().to_string()));
            for pool in &placement.pools {
                rows.push((format!("pool {}", pool.name), counted(pool.workers.len(), "worker")));
            }
            table(&mut text, &rows);
        }
        None => pinned(&mut text, machine, placement),
    }
    let notes_of = placement.notes.iter().map(|note| (note.message.as_str(), note.fix.as_str()));
    notes(&mut text, notes_of);
    text
}

/// One line for each process: "shard/0 on CPU 1 (L3 0, node 0)".
#[must_use]
pub fn sentences(placement: &Placement) -> String {
    let mut text = String::new();
    for (index, shard) in placement.shards.iter().enumerate() {
        let place = place_text(shard.cpu, shard.l3, shard.node);
        let watch = if shard.dedicated { "" } else { ", never watches" };
        let watch = if shard.cpu.is_some() { watch } else { "" };
        let _ = writeln!(text, "  shard/{index} {place}{watch}");
    }
    for pool in &placement.pools {
        for (index, worker) in pool.workers.iter().enumerate() {
            let place = place_text(worker.cpu, worker.l3, worker.node);
            let _ = writeln!(text, "  {}/{index} {place}{}", pool.name, manner(worker));
        }
    }
    text
}

fn place_text(cpu: Option<usize>, l3: Option<usize>, node: Option<usize>) -> String {
    match (cpu, l3, node) {
        (Some(cpu), Some(l3), Some(node)) => format!("on CPU {cpu} (L3 {l3}, node {node})"),
        _ => "wherever the kernel puts it".into(),
    }
}

fn manner(worker: &WorkerPlace) -> String {
    let shared = worker.shared && worker.cpu.is_some();
    let words = [
        (worker.background, "in the background"),
        (shared, "shares its CPU"),
        (worker.on_demand, "only while the queue waits"),
    ];
    let words = words.iter().filter(|(holds, _)| *holds).map(|(_, word)| format!(", {word}"));
    words.collect()
}

fn pinned(text: &mut String, machine: &Machine, placement: &Placement) {
    let tags = tags(placement);
    let labels = labels(placement, &tags);
    let mut cells: BTreeMap<usize, String> = BTreeMap::new();
    for &cpu in &placement.usable {
        let label = labels.get(&cpu).map(|who| crowd(who));
        cells.insert(cpu, label.unwrap_or_else(|| mark(placement, cpu).to_owned()));
    }
    let grid = Grid::new(cells);
    text.push_str(&grid.render(machine));
    text.push('\n');
    let mut rows = vec![("S0".to_owned(), "shard/0, and so on".to_owned())];
    for (pool, tag) in placement.pools.iter().zip(&tags) {
        rows.push((format!("{tag}0"), format!("{}/0, and so on", pool.name)));
    }
    for (mark, cpus, meaning) in [
        (RESERVED, &placement.reserved, "reserved: the system and the supervisor"),
        (
            IDLE,
            &placement.idle_siblings,
            "second thread of a used core, idle (cores.smt = \"both\" uses it)",
        ),
        (UNUSED, &placement.unused, "not used"),
    ] {
        if !cpus.is_empty() {
            rows.push((mark.into(), meaning.into()));
        }
    }
    if labels.values().any(|who| who.len() > SHOWN_PER_CPU) {
        rows.push(("..2".into(), "and 2 more processes on the same CPU".into()));
    }
    table(text, &rows);
    let workers = placement.pools.iter().flat_map(|pool| &pool.workers);
    if workers.into_iter().any(|worker| worker.background) {
        text.push_str("  workers on the CPU of a shard run in the background\n");
    }
    let outside = machine.cpus.len() - placement.usable.len();
    if outside > 0 {
        let _ = writeln!(text, "  {outside} more {} not for us", are_cpus(outside));
    }
}

fn mark(placement: &Placement, cpu: usize) -> &'static str {
    if placement.reserved.contains(&cpu) {
        RESERVED
    } else if placement.idle_siblings.contains(&cpu) {
        IDLE
    } else {
        UNUSED
    }
}

/// Who is on each CPU.
fn labels(placement: &Placement, tags: &[String]) -> BTreeMap<usize, Vec<String>> {
    let mut labels: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (index, shard) in placement.shards.iter().enumerate() {
        if let Some(cpu) = shard.cpu {
            labels.entry(cpu).or_default().push(format!("S{index}"));
        }
    }
    for (pool, tag) in placement.pools.iter().zip(tags) {
        for (index, worker) in pool.workers.iter().enumerate() {
            if let Some(cpu) = worker.cpu {
                labels.entry(cpu).or_default().push(format!("{tag}{index}"));
            }
        }
    }
    labels
}

fn crowd(who: &[String]) -> String {
    if who.len() <= SHOWN_PER_CPU {
        return who.join("+");
    }
    format!("{}..{}", who[0], who.len() - 1)
}

/// How each pool is called in a cell: its name, or a letter where that is too long.
fn tags(placement: &Placement) -> Vec<String> {
    let pools = placement.pools.iter().enumerate();
    let tags = pools.map(|(index, pool)| {
        // A name that ends in a digit would run into the index.
        let ends_well = !pool.name.ends_with(|last: char| last.is_ascii_digit());
        let is_short = pool.name.len() <= TAG_MAX && pool.name.is_ascii() && ends_well;
        if is_short { pool.name.clone() } else { format!("P{}.", index + 1) }
    });
    tags.collect()
}

/// Cells by node, cache and thread.
struct Grid {
    /// What stands behind the number of each CPU that is drawn.
    labels: BTreeMap<usize, String>,
    number_width: usize,
    label_width: usize,
}

impl Grid {
    fn new(labels: BTreeMap<usize, String>) -> Self {
        let last = labels.keys().last().copied().unwrap_or(0);
        let label_width = labels.values().map(String::len).max().unwrap_or(1);
        Self { number_width: last.to_string().len(), label_width, labels }
    }

    fn render(&self, machine: &Machine) -> String {
        let mut caches: BTreeMap<(usize, usize), BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
        for cpu in machine.cpus.iter().filter(|cpu| self.labels.contains_key(&cpu.number)) {
            let cores = caches.entry((cpu.node, cpu.l3)).or_default();
            cores.entry(cpu.core).or_default().push(cpu.number);
        }
        let names: Vec<String> =
            caches.keys().map(|(node, l3)| format!("  node {node} L3 {l3}")).collect();
        let left = names.iter().map(String::len).max().unwrap_or(0);
        let largest = caches.values().map(BTreeMap::len).max().unwrap_or(0);
        let per_line = self.per_line(left, largest);
        let mut text = String::new();
        for (name, cores) in names.iter().zip(caches.values()) {
            let mut cores: Vec<&Vec<usize>> = cores.values().collect();
            cores.sort_by_key(|threads| threads[0]);
            let mut name = name.as_str();
            for cores in cores.chunks(per_line) {
                let depth = cores.iter().map(|threads| threads.len()).max().unwrap_or(0);
                for at in 0..depth {
                    let cells = cores.iter().map(|threads| self.cell(threads.get(at)));
                    let cells: Vec<String> = cells.collect();
                    let line = format!("{name:left$} {}", cells.join(""));
                    text.push_str(line.trim_end());
                    text.push('\n');
                    name = "";
                }
            }
        }
        text
    }

    fn cell(&self, cpu: Option<&usize>) -> String {
        let Some(cpu) = cpu else { return " ".repeat(self.cell_width()) };
        let (number, label) = (self.number_width, self.label_width);
        format!("  {cpu:>number$}:{:<label$}", self.labels[cpu])
    }

    fn cell_width(&self) -> usize {
        2 + self.number_width + 1 + self.label_width
    }

    /// How many cores stand in a line, so that the lines of the largest cache are equally long.
    fn per_line(&self, left: usize, largest: usize) -> usize {
        let fitting = ((COLUMNS - left - 1) / self.cell_width()).max(1);
        largest.div_ceil(largest.div_ceil(fitting).max(1)).max(1)
    }
}

fn counts(machine: &Machine) -> String {
    let distinct =
        |key: fn(&Cpu) -> usize| machine.cpus.iter().map(key).collect::<BTreeSet<_>>().len();
    let parts = [
        (distinct(|cpu| cpu.node), "node"),
        (distinct(|cpu| cpu.l3), "L3 cache"),
        (distinct(|cpu| cpu.core), "core"),
        (machine.cpus.len(), "CPU"),
    ];
    parts.map(|(count, noun)| counted(count, noun)).join(", ")
}

fn limits(machine: &Machine) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if !machine.offline.is_empty() {
        rows.push(("offline".into(), listed(&machine.offline)));
    }
    if let Some(cpuset) = &machine.cpuset {
        let whose = if cpuset.exclusive { "ours alone" } else { "others may use them too" };
        rows.push(("cpuset".into(), format!("{}, {whose}", listed(&cpuset.cpus))));
        rows.push((String::new(), cpuset.path.clone()));
    }
    if let Some(quota) = &machine.quota {
        rows.push(("quota".into(), format!("{} CPUs' time", Thousandths(quota.thousandths))));
        rows.push((String::new(), quota.path.clone()));
    }
    if let Some(memory) = &machine.memory {
        rows.push(("memory".into(), format!("at most {}", Bytes(memory.bytes))));
        rows.push((String::new(), memory.path.clone()));
    }
    rows
}

fn is_slow(cpu: &Cpu, top: u32) -> bool {
    u64::from(cpu.capacity) * 100 < u64::from(top) * FAST_PERCENT
}

fn listed(cpus: &[usize]) -> String {
    let noun = if cpus.len() == 1 { "CPU" } else { "CPUs" };
    format!("{noun} {}", cpu_list(cpus))
}

fn are_cpus(count: usize) -> &'static str {
    if count == 1 { "CPU is" } else { "CPUs are" }
}

/// Rows of a name and what it means; long lists fold behind a comma.
fn table(text: &mut String, rows: &[(String, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, meaning) in rows {
        let mut name = name.as_str();
        for line in fold(meaning, COLUMNS - width - 5) {
            let _ = writeln!(text, "  {name:width$}   {line}");
            name = "";
        }
    }
}

fn notes<'t>(text: &mut String, notes: impl Iterator<Item = (&'t str, &'t str)>) {
    for (index, (message, fix)) in notes.enumerate() {
        text.push_str(if index == 0 { "\n" } else { "" });
        let fix = if fix.is_empty() { String::new() } else { format!(" (fix: {fix})") };
        let mut name = "note";
        for line in fold(&format!("{message}{fix}"), COLUMNS - 8) {
            let _ = writeln!(text, "  {name:4}  {line}");
            name = "";
        }
    }
}

/// Cuts into lines of at most `width`, where there are blanks or the commas of a list.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for piece in pieces(text) {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && line.len() + piece.trim_end().len() > width {
            lines.push(piece.to_owned());
        } else {
            line.push_str(piece);
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let next = |at: usize| rest.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
        let ends = |&(at, byte): &(usize, u8)| byte == b' ' || (byte == b',' && next(at));
        let end = rest.bytes().enumerate().find(ends).map_or(rest.len(), |(at, _)| at + 1);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

const COLUMNS: usize = 80;
/// More processes on a CPU than this are counted instead of named.
const SHOWN_PER_CPU: usize = 3;
/// Longest name of a pool in a cell.
const TAG_MAX: usize = 8;
const RESERVED: &str = "R";
const IDLE: &str = ".";
const UNUSED: &str = "-";
