//! `corewise plan`: what would happen, every process in its place and every value with where it
//! came from. Nothing is started or tried.

use serde_json::json;

use super::output::{Paint, Tone, complain, write, write_json};
use super::{Ask, check, read_machine, resolve_for, values};
use crate::config::grants::{Finding, Grants};
use crate::config::{Config, Machine, Notice, Purpose, Settings, drawing};
use crate::exit::Exit;
use crate::sys::host::Host;

/// Everything that a plan shows.
pub(super) struct Plan {
    pub(super) machine: Machine,
    pub(super) config: Config,
    pub(super) settings: Settings,
    /// What would be cut.
    pub(super) findings: Vec<Finding>,
}

pub(super) fn run(ask: &Ask) -> Exit {
    let planned = read_machine().and_then(|machine| {
        let (settings, mut config) = resolve_for(ask, Purpose::Answer, &machine)?;
        let findings = Grants::from(&Host::read()).fit(&mut config);
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
        Ok(machine) if json => write_json(&cores_to_json(&machine), Exit::Clean),
        Ok(machine) => write(&drawing::machine(&machine), Exit::Clean),
        Err(exit) => exit,
    }
}

pub(super) fn cores_to_json(machine: &Machine) -> serde_json::Value {
    json!({ "machine": machine })
}

impl Plan {
    fn show(&self) -> Exit {
        let exit = write(&self.render(Paint::of_output()), Exit::Clean);
        for remark in check::remarks(&self.config, &self.findings, Paint::of_errors()) {
            complain(&format!("\n{remark}"));
        }
        exit
    }

    pub(super) fn render(&self, paint: Paint) -> String {
        let heading = |text: &str| paint.paint(Tone::Heading, text);
        let about = drawing::machine(&self.machine);
        let machine = about.lines().next().unwrap_or_default();
        format!(
            "{}  {machine}\n\n{}\n{}\n{}\n{}{}\n{}",
            heading("machine"),
            heading("processes"),
            drawing::placement(&self.machine, &self.config.placement),
            drawing::sentences(&self.config.placement),
            self.routes(paint),
            heading("settings"),
            values::render(&self.settings),
        )
    }

    fn routes(&self, paint: Paint) -> String {
        if self.config.routes.is_empty() {
            return String::new();
        }
        let lines = self.config.routes.iter().map(|route| format!("  {route}\n"));
        format!("{}\n{}\n", paint.paint(Tone::Heading, "routes"), lines.collect::<String>())
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "files": self.settings.files(),
            "machine": self.machine,
            "placement": self.config.placement,
            "routes": self.config.routes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "settings": values::to_json(&self.settings),
            "notices": self.config.notices.iter().map(Notice::sentence).collect::<Vec<_>>(),
            "faults": [],
            "findings": self.findings.iter().map(check::finding_to_json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    const FILE: &str = "\
[pool.ml]
workers = 1
share = false
[[route]]
path = \"/hi\"
respond = { body = \"hello\" }
";

    fn plan(file: &str) -> Plan {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corewise.toml");
        std::fs::write(&path, file).unwrap();
        let sources = Sources { file: Some(path), ..Sources::default() };
        let machine = Machine::uniform(&[0, 1, 2, 3], &[0, 1, 2, 3]);
        let resolved = sources.resolve_for(Purpose::Answer, &machine);
        let (settings, mut config) = resolved.unwrap_or_else(|faults| panic!("{faults}"));
        let findings = Grants { somaxconn: Some(128), ..Grants::default() }.fit(&mut config);
        Plan { machine, config, settings, findings }
    }

    #[test]
    fn everybody_is_in_their_place() {
        let text = plan(FILE).render(Paint::Off);
        let expected = "\
machine  1 node, 1 L3 cache, 4 cores, 4 CPUs

processes
  node 0 L3 0   0:S0   1:S1   2:S2   3:ml0

  S0    shard/0, and so on
  ml0   ml/0, and so on

  shard/0 on CPU 0 (L3 0, node 0)
  shard/1 on CPU 1 (L3 0, node 0)
  shard/2 on CPU 2 (L3 0, node 0)
  ml/0 on CPU 3 (L3 0, node 0)

routes
  * /hi -> 200, 5 bytes

settings
[server]
listen                  = [\"127.0.0.1:8000\"]   # default; restart
";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\n[pool.ml]\nkind "), "{text}");
    }

    #[test]
    fn programs_get_one_object() {
        let plan = plan(FILE);
        let object = plan.to_json();
        assert_eq!(object["placement"]["shards"][2]["cpu"], 2);
        assert_eq!(object["placement"]["pools"][0]["workers"][0]["cpu"], 3);
        assert_eq!(object["machine"]["mask"], json!([0, 1, 2, 3]));
        assert_eq!(object["findings"][0]["code"], "E0408");
        assert_eq!(object["settings"][0]["key"], "server.listen");
        assert_eq!(object["notices"].as_array().unwrap().len(), plan.config.notices.len());
    }
}
