//! What is delivered to watch hosts with: the alerts are tried, and fire in a real Prometheus that
//! scrapes a real host; nothing names a metric that no host has.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::{self, binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::wait;

use super::both::embedded;

const PATIENCE: Duration = Duration::from_mins(2);

fn folder() -> PathBuf {
    component::root().join("deploy/monitoring")
}

#[test]
fn alerts_fire_when_they_should_and_no_earlier() -> Result<()> {
    for arguments in [
        &["check", "rules", "alerts.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "alerts.test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(arguments).current_dir(folder()).output();
        let output = output.context("promtool is missing: `make setup` installs it")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(output.status.success(), "promtool {arguments:?}: {said}");
    }
    // Each alert is tried.
    let rules = fs::read_to_string(folder().join("alerts.yml"))?;
    let tried = fs::read_to_string(folder().join("alerts.test.yml"))?;
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let untried: Vec<&str> = alerts.filter(|alert| !tried.contains(alert)).collect();
    ensure!(untried.is_empty(), "{untried:?} are tried by nothing");
    Ok(())
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() -> Result<()> {
    let page = fs::read_to_string(component::root().join("docs/metrics.md"))?;
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let known: BTreeSet<&str> = rows.collect();
    for file in ["alerts.yml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(folder().join(file))?;
        let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        let named = words.filter(|it| it.starts_with("gristmill_") || it.starts_with("process_"));
        let named: BTreeSet<&str> = named.map(|it| it.trim_end_matches("_bucket")).collect();
        ensure!(named.len() > 5, "{file} names {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        ensure!(unknown.is_empty(), "{file} names {unknown:?}, which no host has");
    }
    Ok(())
}

/// A Prometheus that scrapes one host every second; ended when dropped.
struct Prometheus {
    child: Child,
    client: Client,
    folder: tempfile::TempDir,
}

impl Prometheus {
    /// With the alerts as they are delivered, but for how long each must hold.
    fn start(host: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let rules = fs::read_to_string(self::folder().join("alerts.yml"))?;
        let at_once = |line: &str| {
            let holds = line.trim_start().starts_with("for: ");
            if holds { "        for: 0s".to_owned() } else { line.to_owned() }
        };
        let rules: Vec<String> = rules.lines().map(at_once).collect();
        fs::write(folder.path().join("alerts.yml"), rules.join("\n"))?;
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [alerts.yml]\nscrape_configs:\n  - job_name: gristmill\n    \
             static_configs:\n      - targets: [\"{host}\"]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), config)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log"))?)
            .spawn()
            .context("prometheus is missing: `make setup` installs it")?;
        Ok(Self { child, client: Client::new(&address), folder })
    }

    /// Names of the alerts that fire now; none while it does not answer.
    fn firing(&self) -> BTreeSet<String> {
        let answer = self.client.json("/api/v1/alerts").unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().into_iter().flatten();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing.filter_map(|it| Some(it["labels"]["alertname"].as_str()?.to_owned())).collect()
    }

    fn tail(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // One that has ended needs no signal.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn alerts_fire_in_a_real_prometheus() -> Result<()> {
    const TABLES: &str = "[topics.defaults]\npartitions = 4\n[topics.in]\n[topics.answers]\n";
    let home = Home::new(&binary("debug"), &embedded("watched", TABLES).config)?;
    let manifest = "[[subscription]]\nname = \"puppet\"\ntopics = [\"in\"]\nenvelope = \"raw\"\n\
        grants.emit = [\"answers\"]\nretry.initial_interval = \"1h\"\nretry.max_interval = \"1h\"\n\
        breaker = { attempts = 5, pause = \"5m\" }\n";
    home.put("puppet.toml", manifest.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let prometheus = Prometheus::start(client.url().trim_start_matches("http://"))?;
    let until = |what: &str, holds: &dyn Fn(&BTreeSet<String>) -> bool| -> Result<()> {
        let seen = wait::until(PATIENCE, || Ok(holds(&prometheus.firing()).then_some(())))?;
        seen.with_context(|| format!("{what}: {:?}\n{}", prometheus.firing(), prometheus.tail()))
    };
    client.send_text("/topics/in?key=a", "echo")?;
    let scraped = wait::until(PATIENCE, || {
        let answer = prometheus.client.json("/api/v1/query?query=gristmill_events_completed_total");
        let found = answer.unwrap_or_default()["data"]["result"].as_array().map_or(0, Vec::len);
        Ok((found > 0).then_some(()))
    })?;
    scraped.with_context(|| format!("nothing is scraped:\n{}", prometheus.tail()))?;
    ensure!(prometheus.firing().is_empty(), "{:?} without a reason", prometheus.firing());
    client.send_text("/topics/in?key=a", "reject")?;
    until("a dead letter", &|firing| firing.contains("GristmillDeadLetters"))?;
    home.put("broken.toml", manifest.replace("puppet", "broken").as_bytes())?;
    home.put("broken.wasm", b"no component")?;
    until("a refused plugin", &|firing| firing.contains("GristmillLoadFailed"))?;
    for number in 0..40 {
        client.send_text(&format!("/topics/in?key=k{number}"), "retry")?;
    }
    until("an open breaker", &|firing| firing.contains("GristmillBreakerOpen"))?;
    host.stop()?;
    until("a host that is gone", &|firing| firing.contains("GristmillDown"))
}
