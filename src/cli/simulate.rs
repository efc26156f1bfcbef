//! How well is a site steered? A scenario in simulated time, as fast as it goes, and its scores.

use super::{EXIT_FAILED, EXIT_USAGE};
use crate::clock::Clock;
use crate::control::{Decision, Observation};
use crate::policy::Policy;
use crate::sim::builtin::Wanted;
use crate::sim::{Blame, Car, Cause, Headroom, Judge, Law, Outcome, Peak, Reference, Scenario, Score, run_by, trace};
use crate::time::Moment;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Decisions whose times are kept: the later ones replace none, so that a month needs no more memory than a day.
const TIMES_MOST: usize = 2_000_000;
/// No longer run is asked for by anybody.
const DAYS_MOST: u32 = 3_660;
/// Larger files are no scenario and no trace.
const FILE_MOST: u64 = 512 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct SimulateArguments {
    /// house, house-slow-meter, two-cars, solar, garage, acn, faults, or a file such as house.toml
    scenario: String,
    /// Chooses all that is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long; default: as the scenario says
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MOST)))]
    days: Option<u32>,
    /// What the house takes without cars: lines `t,l1,l2,l3` in seconds and amperes; a shorter trace repeats
    #[arg(long, value_name = "CSV")]
    base_load: Option<PathBuf>,
    /// What the sun gives: lines `t,w` in seconds and watts
    #[arg(long, value_name = "CSV")]
    solar: Option<PathBuf>,
    /// Who comes: lines `arrival,departure,evse,energy_kwh,phases,max_a,priority`, in place of the scenario's cars
    #[arg(long, value_name = "CSV")]
    sessions: Option<PathBuf>,
    /// What the transformer of `acn` gives; default: 30
    #[arg(long, value_name = "KW", value_parser = kilowatts)]
    limit_kw: Option<f64>,
    /// `acn` without a least current and without steps
    #[arg(long)]
    continuous: bool,
    /// `acn` as if currents of different angles added up as numbers: what phasors gain is the difference
    #[arg(long)]
    plain_sums: bool,
    /// Drivers do not say when they leave and how much they want
    #[arg(long)]
    unknown: bool,
    /// Who steers
    #[arg(long, value_enum, default_value_t = LawName::Headroom)]
    law: LawName,
    /// One object, for machines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LawName {
    /// The product's own
    Headroom,
    /// Down at once, up to the least of the last 20 s, back after 240 s
    Reference,
}

/// All that is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    scenario: &'a str,
    law: &'static str,
    seed: u64,
    days: f64,
    #[serde(flatten)]
    score: Score,
    /// What went wrong when breakers were hottest; a law that does not say what it heard is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    breakers: Option<Breakers>,
    decision_us: Times,
    /// The most memory that the process has had.
    peak_rss_kib: u64,
    wall_s: f64,
}

/// By cause.
#[derive(Debug, Serialize)]
struct Breakers {
    obeying: Peak,
    blind: Peak,
    frozen: Peak,
    otherwise: Peak,
}

/// How long decisions took, in microseconds.
#[derive(Debug, Serialize)]
struct Times {
    p50: f64,
    p99: f64,
    max: f64,
}

/// Zero, or 2 where the arguments or a file are wrong.
pub(super) fn simulate(arguments: &SimulateArguments) -> ExitCode {
    let scenario = match scenario(arguments) {
        Ok(scenario) => scenario,
        Err(fault) => {
            eprintln!("headroom: {fault}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let report = run(arguments, &scenario);
    if arguments.json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => say!("{text}"),
            Err(fault) => {
                eprintln!("headroom: {fault}");
                return ExitCode::from(EXIT_FAILED);
            }
        }
    } else {
        super::tell(&words(&report, &scenario));
    }
    ExitCode::SUCCESS
}

fn scenario(arguments: &SimulateArguments) -> Result<Scenario, String> {
    let base = arguments.base_load.as_deref().map(|path| read(path, trace::base_load)).transpose()?;
    let solar = arguments.solar.as_deref().map(|path| read(path, trace::solar)).transpose()?;
    let (base, solar) = (base.map(Arc::new), solar.map(Arc::new));
    let sessions = arguments.sessions.as_deref().map(|path| read(path, |text| Ok(text.to_owned()))).transpose()?;
    let wanted = Wanted {
        seed: arguments.seed,
        days: arguments.days,
        base,
        solar,
        sessions,
        limit_kw: arguments.limit_kw,
        is_continuous: arguments.continuous,
        is_plain: arguments.plain_sums,
        is_unknown: arguments.unknown,
    };
    let name = arguments.scenario.as_str();
    let path = Path::new(name);
    if !path.is_file() {
        return wanted.named(name);
    }
    let mut scenario = read(path, Scenario::parse)?;
    wanted.apply(&mut scenario);
    wanted.visited(scenario, &Car::default())
}

fn kilowatts(text: &str) -> Result<f64, String> {
    let fault = "a number of kilowatts from 1 to 10000";
    text.parse().ok().filter(|kw| (1.0..=10_000.0).contains(kw)).ok_or_else(|| fault.to_owned())
}

/// What a file says, or what is wrong with it.
fn read<T>(path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    let told = |fault: String| format!("{}: {fault}", path.display());
    let length = fs::metadata(path).map_err(|fault| told(fault.to_string()))?.len();
    if length > FILE_MOST {
        return Err(told("too large to be a scenario or a trace".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|fault| told(fault.to_string()))?;
    parse(&text).map_err(told)
}

fn run<'a>(arguments: &'a SimulateArguments, scenario: &Scenario) -> Report<'a> {
    let clock = Clock::start();
    let (site, span) = (&scenario.site, scenario.span + scenario.after);
    let (mut judge, mut blame) = (Judge::new(site), Blame::new(scenario));
    let times = std::cell::RefCell::new(Vec::new());
    match arguments.law {
        LawName::Headroom => {
            let policy = Arc::new(scenario.policy.clone());
            let law = |now| Timed { law: Headroom::new(site, &policy, now), clock, times: &times };
            run_by(site, &scenario.script, span, law, |frame| {
                judge.see(site, frame);
                blame.see(frame);
            });
        }
        LawName::Reference => {
            let law = |_| Timed { law: Reference::new(site), clock, times: &times };
            run_by(site, &scenario.script, span, law, |frame| judge.see(site, frame));
        }
    }
    Report {
        scenario: &arguments.scenario,
        law: if arguments.law == LawName::Headroom { "headroom" } else { "reference" },
        seed: arguments.seed,
        days: scenario.span.as_secs_f64() / 86_400.0,
        score: judge.score(),
        breakers: (arguments.law == LawName::Headroom).then(|| Breakers::of(&blame.outcome())),
        decision_us: Times::of(times.into_inner()),
        peak_rss_kib: peak_rss_kib(),
        wall_s: clock.elapsed().as_secs_f64(),
    }
}

/// A law under a stopwatch.
struct Timed<'a, L> {
    law: L,
    clock: Clock,
    times: &'a std::cell::RefCell<Vec<u32>>,
}

impl<L: Law> Law for Timed<'_, L> {
    fn decide(&mut self, observation: &Observation, now: Moment) -> Decision {
        let before = self.clock.elapsed();
        let decision = self.law.decide(observation, now);
        let took = self.clock.elapsed().saturating_sub(before);
        let mut times = self.times.borrow_mut();
        if times.len() < TIMES_MOST {
            times.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
        }
        decision
    }

    fn hear(&mut self, policy: &Arc<Policy>) {
        self.law.hear(policy);
    }
}

impl Breakers {
    fn of(outcome: &Outcome) -> Self {
        let of = |cause: Cause| outcome.peaks[cause as usize];
        Breakers {
            obeying: of(Cause::Obeying),
            blind: of(Cause::Blind),
            frozen: of(Cause::Frozen),
            otherwise: of(Cause::Otherwise),
        }
    }

    /// A line of its own, where there is something to tell.
    fn words(&self) -> String {
        let part = |what: &str, peak: &Peak| (peak.fast > 0.0).then(|| format!("{:.2} {what}", peak.fast));
        let parts = [
            part("while all obeyed", &self.obeying),
            part("while a sample stayed away", &self.blind),
            part("while a meter was frozen", &self.frozen),
            part("while the gateway was dead or a charger deaf", &self.otherwise),
        ];
        let told = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        if told.is_empty() { told } else { format!("\n           through cars the quickest at {told}") }
    }
}

impl Times {
    fn of(mut nanos: Vec<u32>) -> Self {
        nanos.sort_unstable();
        let rank = |share: f64| {
            let index = (nanos.len() as f64 * share).ceil() as usize;
            nanos.get(index.clamp(1, nanos.len().max(1)) - 1).map_or(0.0, |nanos| f64::from(*nanos) / 1000.0)
        };
        Times { p50: rank(0.5), p99: rank(0.99), max: rank(1.0) }
    }
}

/// As the kernel counts it (proc_pid_status(5), VmHWM); zero where it does not.
fn peak_rss_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn words(report: &Report<'_>, scenario: &Scenario) -> String {
    let score = &report.score;
    let percent = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 100.0 };
    let mut lines = vec![
        format!("{}: {}", report.scenario, scenario.about),
        format!("{} days, seed {}, steered by {}", report.days, report.seed, report.law),
        format!(
            "energy     {:.1} kWh: {:.2} % of the {:.1} kWh of an oracle, {:.2} % of the {:.1} kWh wanted",
            score.energy_kwh,
            percent(score.energy_kwh, score.oracle_kwh),
            score.oracle_kwh,
            percent(score.energy_kwh, score.requested_kwh),
            score.requested_kwh
        ),
        format!(
            "overload   {:.0} A s through cars, {:.0} A s in all, {:.1} s at the longest",
            score.overload_as, score.overload_total_as, score.overload_longest_s
        ),
        format!(
            "breakers   the quickest at {:.2} of its trip, the slowest at {:.2}{}",
            score.breaker_fast_peak,
            score.breaker_slow_peak,
            report.breakers.as_ref().map(Breakers::words).unwrap_or_default()
        ),
        format!(
            "cars       {} sessions, {} met, {} starts, at most {} pauses in one, longest wait {:.0} s, Jain {:.3}",
            score.sessions,
            score.sessions_met,
            score.starts,
            score.pauses_per_session_max,
            score.wait_longest_s,
            score.jain
        ),
        format!(
            "setpoints  {} changes, {} priority inversions, {} breaches; {:.0} A s of headroom not used",
            score.setpoints, score.priority_inversions, score.breaches, score.headroom_unused_as
        ),
    ];
    if score.self_consumption < 1.0 || scenario.script.solar.is_some() {
        lines.push(format!(
            "sun        {:.1} % used here; {:.1} % of the cars' energy came from the grid",
            100.0 * score.self_consumption,
            100.0 * score.grid_import_share
        ));
    }
    lines.push(format!(
        "decision   p50 {:.1} µs, p99 {:.1} µs, longest {:.0} µs; {:.1} s in all, {} KiB at most",
        report.decision_us.p50, report.decision_us.p99, report.decision_us.max, report.wall_s, report.peak_rss_kib
    ));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let times = Times::of((1..=100).map(|micros| micros * 1000).collect());
        assert_eq!((times.p50, times.p99, times.max), (50.0, 99.0, 100.0));
        assert_eq!(Times::of(Vec::new()).max, 0.0);
    }

    #[test]
    fn the_kernel_says_how_much_memory_there_was() {
        assert!(peak_rss_kib() > 100);
    }

    #[test]
    fn an_unknown_scenario_is_told_with_the_known_ones() {
        let arguments = SimulateArguments {
            scenario: "hosue".into(),
            seed: 1,
            days: None,
            base_load: None,
            solar: None,
            sessions: None,
            limit_kw: None,
            continuous: false,
            plain_sums: false,
            unknown: false,
            law: LawName::Headroom,
            json: false,
        };
        let fault = scenario(&arguments).unwrap_err();
        assert!(fault.contains("`hosue`") && fault.contains("house-slow-meter"), "{fault}");
    }
}
