//! How much memory and space does the packaged program take? It is built as for the package, and run as a process.

use crate::now;
use crate::table::Table;
use headroom::demo::{Options, VirtualSite};
use headroom::status::Status;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Memory is looked at after so long: all is connected, two cars charge, and the first pictures have been sent.
const IDLE: Duration = Duration::from_secs(20);

/// The packaged program's file.
pub struct Program(PathBuf);

/// Builds it, where that has not been done yet. In a folder of its own: with the features of this benchmark's build
/// Cargo would build everything anew each time.
pub fn packaged() -> Program {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/package");
    eprintln!("building the packaged program in {}", folder.display());
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--locked", "--release", "--no-default-features", "--bin", "headroom", "--target-dir"]);
    let status = build.arg(&folder).current_dir(root).status().expect("cargo runs");
    assert!(status.success(), "the packaged program cannot be built");
    Program(folder.join("release/headroom"))
}

/// The program as a process, ended when this is dropped.
pub struct Running {
    child: Child,
    _folder: TempDir,
}

impl Running {
    /// Runs it with a configuration that is told where its state may be.
    pub fn start(program: &Program, configuration: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the configuration");
        let text = configuration(&folder.path().display().to_string());
        let file = folder.path().join("headroom.toml");
        fs::write(&file, text).expect("the configuration can be written");
        let mut command = Command::new(&program.0);
        // That the meter has yet to prove itself is no news here.
        let log = "error,headroom::daemon::alarms=off";
        command.args(["run", "--log", log, "--config"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        Running { child: command.spawn().expect("the program starts"), _folder: folder }
    }

    /// A line of `/proc/<pid>/status`, such as `VmRSS`, in kB.
    fn kilobytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the program runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).expect("a number of kB")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// At the virtual site of `headroom demo`: meter, inverter, two OCPP chargers, an MQTT charger, broker, policy cloud,
/// page.
pub fn measure_memory(program: &Program, table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder for the state");
        let site = VirtualSite::start(&Options::default(), folder.path()).await.expect("the site starts");
        let running = Running::start(program, |_| site.configuration.clone());
        let begun = now();
        tokio::time::sleep(IDLE).await;
        let (resident, anonymous) = (running.kilobytes("VmRSS"), running.kilobytes("RssAnon"));
        let address = site.addresses.http;
        let status = tokio::task::spawn_blocking(move || status(address)).await.expect("the page answers");
        let is_all_there = status.evses.iter().all(|evse| evse.online)
            && status.circuits.iter().all(|circuit| circuit.freshness == "fresh")
            && status.inverters.iter().all(|inverter| inverter.power_w.is_some())
            && status.policy.source == "cloud";
        assert!(is_all_there, "after {:?} not everything is there: {status:?}", begun.elapsed());
        let mb = |kilobytes: u64| format!("{:.1} MB", kilobytes as f64 * 1024.0 / 1e6);
        table.number("resident memory after 20 s, all connected (VmRSS)", &mb(resident), "< 15 MB");
        table.number("of it not backed by the file (RssAnon)", &mb(anonymous), "");
        drop(running);
        site.stop().await;
    });
}

/// The stripped file.
pub fn measure_size(program: &Program, table: &mut Table) {
    let bytes = fs::metadata(&program.0).expect("the program is there").len();
    table.number("packaged program, stripped", &format!("{:.1} MB", bytes as f64 / 1e6), "< 12 MB");
}

fn status(page: SocketAddr) -> Status {
    let mut stream = TcpStream::connect(page).expect("the page is served");
    let question = format!("GET /status.json HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).expect("the page listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the page answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a body");
    serde_json::from_str(body).expect("the status is JSON")
}
