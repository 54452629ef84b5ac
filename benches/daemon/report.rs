//! Results as they are kept (JSON), and as they are read (Markdown with charts).

use crate::{
    case::{Case, Scenario, Unit},
    chart::{self, Chart, Scale},
    contender::{Contender, Kind},
    measure::Sample,
    options::{Options, cores},
    statistics::{Summary, number},
};
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, fs, io, path::Path, process::Command};

const CONTENDERS: [Kind; 3] = [Kind::Saccade, Kind::Nginx, Kind::Glance];

/// A run, whole or in part.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    date: String,
    command: String,
    machine: String,
    kernel: String,
    file_system: String,
    load_before: String,
    revision: String,
    rounds: usize,
    /// By contender.
    versions: Vec<(String, String)>,
    pub(crate) notes: Vec<String>,
    pub(crate) scenarios: Vec<Scenario>,
}

impl Report {
    pub(crate) fn begin(options: &Options, contenders: &[Contender], notes: Vec<String>) -> Self {
        let named = |contender: &Contender| (contender.kind.name().to_owned(), contender.version.clone());
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let memory: f64 = word_after(&memory, "MemTotal:").parse().unwrap_or(0.0);
        let cpus = read("/proc/cpuinfo");
        let model = cpus.lines().find(|line| line.starts_with("model name"));
        let model = model
            .and_then(|line| line.split_once(':'))
            .map_or("", |(_, model)| model.trim());
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            command: options.command(),
            machine: format!("{} × {model}, {:.0} GiB", cores(), memory / f64::from(1 << 20)),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&options.directory),
            load_before: read("/proc/loadavg")
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
            revision: revision(),
            rounds: options.rounds,
            versions: contenders.iter().map(named).collect(),
            notes,
            scenarios: Vec::new(),
        }
    }

    /// Results that were kept.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// Keeps them, and writes the tables and charts.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let json = serde_json::to_string_pretty(self)?;
        fs::write(directory.join("results.json"), json + "\n")?;
        let mut text = self.head();
        for scenario in &self.scenarios {
            text.push_str(&section(scenario, directory)?);
        }
        fs::write(directory.join("results.md"), text)
    }

    fn head(&self) -> String {
        let mut text = format!(
            "# Results\n\nWritten by `{}`; what is measured and how to read it: [README](README.md). The figures of every turn are \
             in [results.json](results.json).\n\n| | |\n|---|---|\n",
            self.command
        );
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "| {name} | {value} |");
        };
        row("Date", &self.date);
        row("Machine", &self.machine);
        row("Kernel", &self.kernel);
        row("File system", &self.file_system);
        row("Load before (1, 5, 15 min)", &self.load_before);
        row("Revision", &self.revision);
        for (name, version) in &self.versions {
            row(name, version);
        }
        let _ = write!(
            text,
            "\nOf {} rounds: the median, and in parentheses the least and the most. MB and GB are powers of ten.\n",
            self.rounds
        );
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }
}

fn section(scenario: &Scenario, directory: &Path) -> io::Result<String> {
    let mut text = format!("\n## {}\n\n{}\n", capitalised(&scenario.name), scenario.about);
    for fact in &scenario.facts {
        let _ = write!(text, "\n- {}, {}: {}", fact.contender, fact.name, fact.value);
    }
    if !scenario.facts.is_empty() {
        text.push('\n');
    }
    let present = |kind: &&Kind| {
        scenario
            .cases
            .iter()
            .any(|case| case.of(kind.name()).next().is_some())
    };
    let contenders: Vec<&str> = CONTENDERS
        .iter()
        .filter(present)
        .map(|kind| kind.name())
        .collect();
    let Some(first) = scenario.cases.first().filter(|_| !contenders.is_empty()) else {
        return Ok(text);
    };
    for (suffix, title, figure) in charts(first.unit) {
        let chart = Chart {
            title: format!("{}: {title}", capitalised(&scenario.name)),
            groups: scenario.cases.iter().map(|case| case.name.clone()).collect(),
            series: contenders
                .iter()
                .map(|name| ((*name).to_owned(), medians(scenario, name, figure)))
                .collect(),
            scale: match first.unit {
                Unit::Bytes => Scale::Linear,
                Unit::Requests => Scale::Logarithmic,
            },
        };
        let name = format!("{}-{suffix}.svg", scenario.name);
        fs::write(directory.join(&name), chart::svg(&chart))?;
        let _ = write!(text, "\n![{}]({name})\n", chart.title);
    }
    text.push_str(&speeds(scenario, first.unit, &contenders));
    for case in &scenario.cases {
        if let Some(limit) = limit(case) {
            let _ = write!(text, "\n{limit}\n");
        }
    }
    text.push_str(&costs(scenario, first.unit, &contenders));
    let failures = scenario.cases.iter().flat_map(|case| &case.failures);
    for failure in failures {
        let _ = write!(
            text,
            "\nFailed: {}\n",
            failure.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }
    Ok(text)
}

type Figure = fn(&Case, &Sample) -> f64;

fn charts(unit: Unit) -> [(&'static str, &'static str, Figure); 2] {
    match unit {
        Unit::Bytes => [
            ("rate", "MB/s (more is better)", Case::rate),
            (
                "cpu",
                "the server's CPU seconds for each GB (less is better)",
                Case::cpu,
            ),
        ],
        Unit::Requests => [
            ("rate", "requests in a second (more is better)", Case::rate),
            (
                "cpu",
                "the server's CPU milliseconds for each request (less is better)",
                Case::cpu,
            ),
        ],
    }
}

fn summary(case: &Case, contender: &str, figure: impl Fn(&Case, &Sample) -> f64) -> Option<Summary> {
    Summary::of(case.of(contender).map(|sample| figure(case, sample)))
}

fn medians(scenario: &Scenario, contender: &str, figure: Figure) -> Vec<Option<f64>> {
    let median = |case| summary(case, contender, figure).map(|summary| summary.median);
    scenario.cases.iter().map(median).collect()
}

/// How fast each was, and how many times as fast Saccade.
fn speeds(scenario: &Scenario, unit: Unit, contenders: &[&str]) -> String {
    let rate = match unit {
        Unit::Bytes => "MB/s",
        Unit::Requests => "/s",
    };
    let saccade = Kind::Saccade.name();
    let others = || {
        contenders
            .iter()
            .filter(|name| **name != saccade && contenders.contains(&saccade))
    };
    let timed: Vec<&&str> = contenders
        .iter()
        .filter(|name| {
            scenario
                .cases
                .iter()
                .any(|case| case.of(name).any(|sample| sample.p50_ms.is_some()))
        })
        .collect();
    let mut heads: Vec<String> = contenders.iter().map(|name| format!("{name}, {rate}")).collect();
    heads.extend(others().map(|name| format!("Saccade / {name}")));
    heads.extend(timed.iter().map(|name| format!("{name}, p50 / p99 ms")));
    table(&heads, scenario, |case| {
        let mut cells: Vec<Option<String>> = contenders
            .iter()
            .map(|name| Some(summary(case, name, Case::rate)?.text()))
            .collect();
        cells.extend(others().map(|name| Some(Summary::of(case.ratios(saccade, name))?.text())));
        cells.extend(timed.iter().map(|name| {
            let p50 = Summary::of(case.of(name).filter_map(|sample| sample.p50_ms))?;
            let p99 = Summary::of(case.of(name).filter_map(|sample| sample.p99_ms))?;
            Some(format!("{} / {}", number(p50.median), number(p99.median)))
        }));
        cells
    })
}

/// What it took from the machine.
fn costs(scenario: &Scenario, unit: Unit, contenders: &[&str]) -> String {
    let cpu = match unit {
        Unit::Bytes => "CPU s/GB",
        Unit::Requests => "CPU ms each",
    };
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut heads = Vec::new();
    for what in [cpu, "peak resident MiB", "peak of sockets MiB"] {
        heads.extend(contenders.iter().map(|name| format!("{name}, {what}")));
    }
    table(&heads, scenario, |case| {
        let cpu = contenders
            .iter()
            .map(|name| Some(summary(case, name, Case::cpu)?.text()));
        let median = |name: &&str, figure: fn(&Sample) -> u64| {
            let summary = summary(case, name, |_, sample| mebibytes(figure(sample)))?;
            Some(number(summary.median))
        };
        let resident = contenders
            .iter()
            .map(|name| median(name, |sample| sample.resident_peak));
        let sockets = contenders
            .iter()
            .map(|name| median(name, |sample| sample.socket_peak));
        cpu.chain(resident).chain(sockets).collect()
    })
}

fn table(heads: &[String], scenario: &Scenario, cells: impl Fn(&Case) -> Vec<Option<String>>) -> String {
    let mut text = format!(
        "\n| | {} |\n|---|{}\n",
        heads.join(" | "),
        "---:|".repeat(heads.len())
    );
    for case in &scenario.cases {
        let cells: Vec<String> = cells(case)
            .into_iter()
            .map(|cell| cell.unwrap_or_else(|| "–".to_owned()))
            .collect();
        let _ = writeln!(text, "| {} | {} |", case.name, cells.join(" | "));
    }
    text
}

/// How far one upload is from the hash that it cannot do without.
fn limit(case: &Case) -> Option<String> {
    let limit = Summary::of(case.limit.iter().copied())?;
    let shares = |kind: Kind| {
        let rounds = case.samples.get(kind.name())?.iter().zip(&case.limit);
        let shares = rounds.filter_map(|(sample, limit)| Some(case.rate(sample.as_ref()?) / limit * 100.0));
        Some(format!(
            "{} reaches {} % of it",
            kind.name(),
            Summary::of(shares)?.text()
        ))
    };
    let shares: Vec<String> = CONTENDERS.into_iter().filter_map(shares).collect();
    Some(format!(
        "The limit of one upload is the checksum that Glance's API promises: MD5 takes the bytes one after the other, and one core \
         that did nothing else took {} MB/s in the same rounds. {}.",
        limit.text(),
        shares.join("; ")
    ))
}

fn capitalised(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_uppercase() + rest
}

fn word_after<'a>(text: &'a str, name: &str) -> &'a str {
    let mut words = text.split_whitespace().skip_while(|word| *word != name);
    words.nth(1).unwrap_or_default()
}

fn revision() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// The kind of file system that a path is on.
fn file_system(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let place = Path::new(*words.get(1)?);
        path.starts_with(place).then(|| {
            (
                place.components().count(),
                (*words.get(2).unwrap_or(&"")).to_owned(),
            )
        })
    });
    // The last one at the deepest place is the one that is seen.
    mounts
        .max_by_key(|(depth, _)| *depth)
        .map_or_else(String::new, |(_, kind)| kind)
}
