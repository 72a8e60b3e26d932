//! `corewise plan`: what would happen, every process in its place and every value with where it
//! came from. Nothing is started or tried.

use serde_json::json;

use super::output::{Paint, Tone, complain, write, write_json};
use super::{Ask, check, read_machine, resolve_for, values};
use crate::config::grants::{Finding, Grants};
use crate::config::{Config, Machine, Notice, Settings, drawing};
use crate::exit::Exit;
use crate::sys::host::Host;

/// Everything that a plan shows.
struct Plan {
    machine: Machine,
    config: Config,
    settings: Settings,
    /// What would be cut.
    findings: Vec<Finding>,
}

pub(super) fn run(ask: &Ask) -> Exit {
    let planned = read_machine().and_then(|machine| {
        let mut config = resolve_for(&ask.sources, &machine)?;
        let findings = Grants::from(&Host::read()).fit(&mut config);
        let (settings, _) = Settings::gather(&ask.sources);
        Ok(Plan { machine, config, settings, findings })
    });
    match planned {
        Ok(plan) if ask.json => write_json(&plan.to_json(), Exit::Clean),
        Ok(plan) => plan.show(),
        Err(exit) => exit,
    }
}

/// `corewise cores`: the machine alone.
pub(super) fn run_cores(json: bool) -> Exit {
    match read_machine() {
        Ok(machine) if json => write_json(&json!({ "machine": machine }), Exit::Clean),
        Ok(machine) => write(&drawing::machine(&machine), Exit::Clean),
        Err(exit) => exit,
    }
}

impl Plan {
    fn show(&self) -> Exit {
        let paint = Paint::of_errors();
        let exit = write(&self.render(Paint::of_output()), Exit::Clean);
        for notice in &self.config.notices {
            complain(&format!("\n{}", notice.render(paint == Paint::On)));
        }
        for finding in &self.findings {
            complain(&format!("\n{}", check::show(finding, paint).trim_end()));
        }
        exit
    }

    fn render(&self, paint: Paint) -> String {
        let heading = |text: &str| paint.paint(Tone::Heading, text);
        let about = drawing::machine(&self.machine);
        let machine = about.lines().next().unwrap_or_default();
        format!(
            "{}  {machine}\n\n{}\n{}\n{}\n{}\n{}",
            heading("machine"),
            heading("processes"),
            drawing::placement(&self.machine, &self.config.placement),
            drawing::sentences(&self.config.placement),
            heading("settings"),
            values::render(&self.settings),
        )
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "files": self.settings.files(),
            "machine": self.machine,
            "placement": self.config.placement,
            "settings": values::to_json(&self.settings),
            "notices": self.config.notices.iter().map(Notice::sentence).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(check::finding_to_json).collect::<Vec<_>>(),
        })
    }
}
