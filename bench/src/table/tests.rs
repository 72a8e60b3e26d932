//! A made-up table, judged and printed.

use super::*;

fn machine() -> Machine {
    Machine {
        date: "2026-11-22T00:00:00Z".to_owned(),
        commit: "abc".to_owned(),
        processor: "made up".to_owned(),
        cores: 2,
        memory_bytes: 1 << 30,
        kernel: "Linux 6.18".to_owned(),
        compiler: "rustc".to_owned(),
        wrk: String::new(),
        notes: Vec::new(),
    }
}

fn table(bars: Vec<Demand>, windows: &[(&str, u32, Option<f64>)]) -> Table {
    let contestant = |name: &str| Contestant {
        name: name.to_owned(),
        title: name.to_owned(),
        missing: (name == "absent").then(|| "make absent".to_owned()),
    };
    let bars = bars.into_iter().map(|demand| Bar { contestant: "ours".to_owned(), demand });
    Table {
        format: FORMAT,
        title: "made up".to_owned(),
        machine: machine(),
        command: "corewise-bench x".to_owned(),
        rounds: 3,
        contestants: ["limit", "ours", "absent"].map(contestant).to_vec(),
        rows: vec![Row {
            name: "r".to_owned(),
            title: "round trip".to_owned(),
            unit: Unit::Nanoseconds,
            note: None,
            bars: bars.collect(),
        }],
        windows: windows
            .iter()
            .map(|(contestant, round, figure)| Window {
                row: "r".to_owned(),
                contestant: (*contestant).to_owned(),
                round: *round,
                figure: *figure,
                remark: figure.is_none().then(|| "it ended".to_owned()),
            })
            .collect(),
    }
}

#[track_caller]
fn check(demand: Demand, windows: &[(&str, u32, Option<f64>)], expected: &str) {
    let text = table(vec![demand], windows).text();
    assert!(text.contains(expected), "{text}");
}

#[test]
fn ratios_are_made_within_a_round() {
    let limit = || Cell::new("r", "limit");
    // The machine of the second round is three times as slow; round 3 lacks the limit.
    let windows = [
        ("limit", 0, Some(100.0)),
        ("ours", 0, Some(200.0)),
        ("limit", 1, Some(300.0)),
        ("ours", 1, Some(600.0)),
        ("ours", 2, Some(9_999.0)),
    ];
    check(Demand::TimesAtMost(2.0, limit()), &windows, "kept: ours 2.00 x limit, at most 2.00");
    check(Demand::TimesAtMost(1.9, limit()), &windows, "MISSED: ours 2.00 x limit, at most 1.90");
    check(Demand::TimesAtLeast(2.0, limit()), &windows, "kept: ours 2.00 x limit, at least 2.00");
    check(Demand::Over(250.0, limit()), &windows, "kept: ours 200 more than limit, at most 250");
    check(Demand::AtMost(600.0), &windows, "kept: ours 600, at most 600");
    check(Demand::AtLeast(601.0), &windows, "MISSED: ours 600, at least 601");
}

#[test]
fn without_figures_a_bar_is_open_and_the_reason_is_shown() {
    let windows = [("ours", 0, None)];
    let nobody = Demand::TimesAtMost(2.0, Cell::new("r", "limit"));
    check(nobody.clone(), &windows, "open: ours: at most 2.00 x limit");
    check(nobody.clone(), &windows, "! ours: it ended");
    check(nobody.clone(), &windows, "absent was not measured: make absent");
    // A multiple of nothing is none.
    check(nobody, &[("ours", 0, Some(1.0)), ("limit", 0, Some(0.0))], "open: ours");
    assert_eq!(table(vec![Demand::AtMost(1.0)], &[("ours", 0, Some(2.0))]).missed(), 1);
    assert_eq!(table(vec![Demand::AtMost(1.0)], &windows).missed(), 0);
}

#[test]
fn it_survives_being_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let before = table(vec![Demand::AtMost(0.25)], &[("ours", 0, Some(0.2)), ("ours", 1, None)]);
    before.write(folder.path(), "t").unwrap();
    assert_eq!(Table::read(&folder.path().join("t.json")).unwrap(), before);
    let page = fs::read_to_string(folder.path().join("t.md")).unwrap();
    assert!(page.contains("| ours | 0.2 | 0.2 to 0.2 |"), "{page}");
    fs::write(folder.path().join("u.json"), "{}").unwrap();
    assert!(Table::read(&folder.path().join("u.json")).is_err());
}
