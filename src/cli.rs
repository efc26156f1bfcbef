//! What was asked for? Arguments in, exit code out; one function for each subcommand.

/// A line to stdout.
macro_rules! say {
    ($($word:tt)*) => { $crate::cli::tell(&format!("{}\n", format_args!($($word)*))) };
}

mod identity;
mod replay;
mod reset;
mod sessions;
mod simulate;

use crate::clock::Clock;
use crate::config::{self, CheckOptions, Config, ModbusAddress, Parity};
use crate::daemon::{Daemon, PREPARED};
use crate::device::Library;
use crate::notify::Notifier;
use crate::status::{self, Status};
use crate::store::Folder;
use crate::{journal, probe};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Where the configuration is unless something else is said.
const CONFIG: &str = "/etc/headroom/headroom.toml";
/// The configuration is wrong (sysexits.h, EX_CONFIG): systemd does not restart on it.
const EXIT_CONFIG: u8 = 78;
/// The arguments make no sense, as clap says it too.
const EXIT_USAGE: u8 = 2;
/// It failed while running.
const EXIT_FAILED: u8 = 1;
/// `headroom status` waits this long for an answer.
const STATUS_WAIT: Duration = Duration::from_secs(5);
/// Threads for the edges; the step itself is one task.
const WORKERS: usize = 2;

/// Smart-meter load balancer for home energy: per phase, leased, fair and explained.
#[derive(Debug, Parser)]
#[command(name = "headroom", version, about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What is logged: error, warn, info, debug, trace, or target=level pairs
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run {
        /// The configuration
        #[arg(long, default_value = CONFIG, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration: every fault at once, with line and help
    Check {
        /// The configuration
        #[arg(default_value = CONFIG, value_name = "FILE")]
        file: PathBuf,
        /// Do not read the files that hold secrets (to check on another machine)
        #[arg(long)]
        no_secrets: bool,
    },
    /// Show what is going on: phases, cars, reasons, policy, alarms
    Status(StatusArguments),
    /// Read a live meter or inverter; name what looks wrong
    Probe(ProbeArguments),
    /// A virtual site in simulated time, as fast as it goes, and how well it was steered
    Simulate(simulate::SimulateArguments),
    /// Who charged when, how much, and why no more: a table with totals, or CSV
    Sessions(sessions::SessionsArguments),
    /// The gateway's key and PIN, for who claims it in a portal
    Identity(identity::IdentityArguments),
    /// Factory reset: forget people, cards, sessions and the claim; the configuration stays
    Reset(reset::ResetArguments),
    /// Decide a recording of the flight recorder again: the same, bit for bit?
    Replay(replay::ReplayArguments),
    /// A whole virtual site on loopback with real sockets
    #[cfg(feature = "demo")]
    Demo(DemoArguments),
}

#[derive(Debug, Args)]
struct StatusArguments {
    /// As JSON, as on the page's /status.json
    #[arg(long)]
    json: bool,
    /// Where the page is; default: as the configuration says
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The configuration
    #[arg(long, default_value = CONFIG, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct ProbeArguments {
    /// `host:port`, or a serial line such as /dev/ttyUSB0
    address: String,
    /// The device file, such as eastron-sdm630 or sunspec; default: try all
    #[arg(long)]
    device: Option<String>,
    /// Modbus unit
    #[arg(long, default_value_t = 1)]
    unit: u8,
    /// Bits a second of the serial line
    #[arg(long, default_value_t = 9600)]
    baud: u32,
    /// none, even or odd
    #[arg(long, default_value = "none")]
    parity: String,
    /// 1 or 2
    #[arg(long, default_value_t = 1)]
    stop_bits: u8,
    /// Device files found here go before the built-in ones
    #[arg(long, value_name = "DIR")]
    device_dir: Option<PathBuf>,
}

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
struct DemoArguments {
    /// Port of the page; default: a free one
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Port for chargers; default: a free one
    #[arg(long, value_name = "PORT")]
    ocpp_port: Option<u16>,
    /// Port of the MQTT broker; default: a free one
    #[arg(long, value_name = "PORT")]
    mqtt_port: Option<u16>,
}

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(fault) => fault.exit(),
    };
    let log = arguments.log.as_deref();
    match arguments.command {
        Command::Run { config } => run(&config, log),
        Command::Check { file, no_secrets } => check(&file, no_secrets),
        Command::Status(arguments) => show(&arguments),
        Command::Probe(arguments) => look(&arguments),
        Command::Simulate(arguments) => simulate::simulate(&arguments),
        Command::Sessions(arguments) => sessions::sessions(&arguments),
        Command::Identity(arguments) => identity::identity(&arguments),
        Command::Reset(arguments) => reset::reset(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => demo(&arguments, log),
    }
}

/// The daemon of `run`, from a text instead of a file.
#[cfg(feature = "demo")]
async fn gateway(text: String) -> Result<(), String> {
    let loaded = config::compile(&text, "demo.toml", Path::new(""), &built_in_devices());
    let config = loaded.config.as_ref().ok_or_else(|| loaded.render(false))?;
    let daemon = Daemon::start(config.clone(), Clock::start()).await?;
    daemon.run(Notifier::from_environment(), stop_signal()?).await
}

fn run(file: &Path, log: Option<&str>) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let _logging = journal::start(log);
    in_runtime(async {
        let daemon = Daemon::start(config, Clock::start()).await?;
        if let Some(address) = daemon.http {
            tracing::info!(%address, "page at http://{address}/");
        }
        if let Some(address) = daemon.ocpp {
            tracing::info!(%address, "chargers dial ws://{address}/ocpp/<identity>");
        }
        daemon.run(Notifier::from_environment(), stop_signal()?).await
    })
}

fn check(file: &Path, no_secrets: bool) -> ExitCode {
    let options = CheckOptions { read_secrets: !no_secrets };
    let loaded = config::load_over(file, &built_in_devices(), options, prepared(file).as_deref());
    let color = is_terminal();
    tell(&loaded.render(color));
    loaded.prepared.iter().for_each(|line| say!("preconfiguration: {line}"));
    if loaded.errors() > 0 {
        return ExitCode::from(EXIT_CONFIG);
    }
    loaded.notes.iter().for_each(|note| say!("{note}"));
    say!("{}: fine, {} warnings", file.display(), loaded.warnings());
    ExitCode::SUCCESS
}

fn show(arguments: &StatusArguments) -> ExitCode {
    let url = match &arguments.url {
        Some(url) => url.trim_end_matches('/').to_string(),
        None => match load(&arguments.config).map(|config| config.http) {
            Ok(Some(page)) => format!("http://{}", local(page.listen)),
            Ok(None) => return failed("the configuration has no [http]: there is nothing to ask"),
            Err(code) => return code,
        },
    };
    in_runtime(async {
        let (text, status) = fetch_status(&format!("{url}/status.json")).await?;
        let color = is_terminal();
        match arguments.json {
            true => say!("{text}"),
            false => tell(&status::picture(&status, terminal_width(), color)),
        }
        Ok(())
    })
}

fn look(arguments: &ProbeArguments) -> ExitCode {
    let library = match Library::load(arguments.device_dir.as_deref()) {
        Ok(library) => library,
        Err(fault) => return failed(&fault),
    };
    in_runtime(async {
        let address = modbus_address(arguments)?;
        let report = probe::run(&address, arguments.unit, arguments.device.as_deref(), &library).await?;
        tell(&report);
        Ok(())
    })
}

#[cfg(feature = "demo")]
fn demo(arguments: &DemoArguments, log: Option<&str>) -> ExitCode {
    // In a terminal the picture has the alarms; a log would run across it. The broker's own log is none of ours.
    let usual = if is_terminal() { "headroom=off" } else { "error,rumqttd=off" };
    let _logging = journal::start(log.or(Some(usual)));
    let options = crate::demo::Options {
        http_port: arguments.http_port,
        ocpp_port: arguments.ocpp_port,
        mqtt_port: arguments.mqtt_port,
        ..crate::demo::Options::default()
    };
    in_runtime(crate::demo::run(options, gateway, |status| status::picture(status, terminal_width(), is_terminal())))
}

/// A configuration without faults, or all its faults on stderr.
fn load(file: &Path) -> Result<Config, ExitCode> {
    let loaded = config::load_over(file, &built_in_devices(), CheckOptions::default(), prepared(file).as_deref());
    let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
    eprint!("{}", loaded.render(color));
    loaded.prepared.iter().for_each(|line| eprintln!("preconfiguration: {line}"));
    loaded.config.ok_or_else(|| ExitCode::from(EXIT_CONFIG))
}

/// What was prepared for the site of this file, if anything was.
fn prepared(file: &Path) -> Option<String> {
    let kept = Folder::look(config::state_dir(file)).ok()?.read(PREPARED).ok()??;
    String::from_utf8(kept).ok()
}

fn built_in_devices() -> Library {
    Library::load(None).unwrap_or_default()
}

fn in_runtime(task: impl Future<Output = Result<(), String>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    match runtime.map_err(|fault| format!("cannot start: {fault}")).and_then(|runtime| runtime.block_on(task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => failed(&fault),
    }
}

/// Text to stdout. Whoever reads it may have had enough (`| head`), which is no failure.
fn tell(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn failed(fault: &str) -> ExitCode {
    eprintln!("headroom: {fault}");
    ExitCode::from(EXIT_FAILED)
}

/// Ready at SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let cannot = |fault: std::io::Error| format!("cannot listen for signals: {fault}");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn fetch_status(url: &str) -> Result<(String, Status), String> {
    let cannot = |fault: reqwest::Error| format!("no answer from {url}: {fault}; is the daemon running?");
    // Without one no client can be built, for plain http neither.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client =
        reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(STATUS_WAIT).build().map_err(cannot)?;
    let text = client.get(url).send().await.map_err(cannot)?.text().await.map_err(cannot)?;
    let status =
        serde_json::from_str(&text).map_err(|fault| format!("{url} does not answer with a status: {fault}"))?;
    Ok((text, status))
}

/// Whoever listens everywhere is asked here.
fn local(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    match (listen.ip().is_unspecified(), listen.is_ipv4()) {
        (false, _) => listen,
        (true, true) => (std::net::Ipv4Addr::LOCALHOST, listen.port()).into(),
        (true, false) => (std::net::Ipv6Addr::LOCALHOST, listen.port()).into(),
    }
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}

fn terminal_width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(80)
}

fn modbus_address(arguments: &ProbeArguments) -> Result<ModbusAddress, String> {
    if !arguments.address.starts_with('/') {
        return Ok(ModbusAddress::Tcp(arguments.address.clone()));
    }
    let parity = match arguments.parity.as_str() {
        "none" => Parity::None,
        "even" => Parity::Even,
        "odd" => Parity::Odd,
        other => return Err(format!("--parity {other}: none, even or odd")),
    };
    let path = PathBuf::from(&arguments.address);
    Ok(ModbusAddress::Rtu { path, baud: arguments.baud, parity, stop_bits: arguments.stop_bits })
}
