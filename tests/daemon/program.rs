//! How does the program behave as a program? Its exit codes, its words, its signals.

use crate::house::{House, LEFT, MOST, PATIENCE, Stand};
use crate::http::get;
use headroom::demo::inverter;
use headroom::time::Duration;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// systemd is promised that a stop takes no longer.
const STOP_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_every_fault_with_its_line() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/five-faults.toml");
    let checked = headroom(&["check", file]).await;
    assert_eq!(checked.code, Some(78));
    let lines = std::fs::read_to_string(file).unwrap();
    let line_of = |text: &str| lines.lines().position(|line| line.starts_with(text)).unwrap() + 1;
    let second =
        lines.lines().enumerate().filter(|(_, line)| line.starts_with("identity = \"HOME-1\"")).nth(1).unwrap().0 + 1;
    let faults = [
        ("unknown key \"colour\"", line_of("colour")),
        ("more than the fuse", line_of("fuse_a")),
        ("unknown parent \"mian\"", line_of("parent")),
        ("must be a whole number", line_of("interval_ms")),
        ("same OCPP connector", second),
    ];
    for (what, line) in faults {
        let at = checked.stdout.find(what).unwrap_or_else(|| panic!("{what}: {}", checked.stdout));
        let place = checked.stdout[at..].lines().nth(1).unwrap();
        assert!(place.contains(&format!("five-faults.toml:{line}:")), "{what}: {place}");
    }
    assert!(checked.stdout.ends_with("5 errors\n"), "{}", checked.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_knows_the_meter_and_the_inverter() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    house.load([4, 5, 6]);
    let probed = headroom(&["probe", &house.meter.address.to_string()]).await;
    assert_eq!(probed.code, Some(0), "{}", probed.stderr);
    assert!(
        probed.stdout.contains("device = \"eastron-sdm630\"") && probed.stdout.contains("read as meter"),
        "{}",
        probed.stdout
    );
    for value in ["4.00 A", "5.00 A", "6.00 A", "230.00 V", "50.00 Hz"] {
        assert!(probed.stdout.contains(value), "{value}: {}", probed.stdout);
    }
    let roof = inverter::start(&house.plant, 0).await.unwrap();
    let probed = headroom(&["probe", &roof.address.to_string()]).await;
    assert_eq!(probed.code, Some(0), "{}", probed.stderr);
    assert!(
        probed.stdout.contains("device = \"sunspec\"") && probed.stdout.contains("SunSpec model 103 at 40070"),
        "{}",
        probed.stdout
    );
    let address = roof.address.to_string();
    roof.stop().await;
    let probed = headroom(&["probe", &address]).await;
    assert_eq!(probed.code, Some(1));
    assert!(probed.stderr.contains(&format!("cannot connect to {address}")), "{}", probed.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_takes_less_than_five_seconds_and_keeps_the_leases() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let (http, ocpp) = (free_port(), free_port());
    let text = house.configuration("").replacen("127.0.0.1:0", &http.to_string(), 1);
    let file = house.folder.path().join("headroom.toml");
    let text = text.replacen("127.0.0.1:0", &ocpp.to_string(), 1);
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    // The same ports, and a state folder of its own.
    let state = format!("state_dir = \"{}", house.folder.path().display());
    let other = house.folder.path().join("other.toml");
    std::fs::write(&other, text.replace(&state, &format!("{state}/other"))).unwrap();
    let other = other.to_str().unwrap();
    house.line.lead_to(Some(ocpp));
    house.arrive(LEFT, None);
    for round in ["first", "second"] {
        let mut daemon = Running::start(&["run", "--config", file]);
        house.until(round, |house| house.offer(LEFT) == MOST && house.draw(LEFT).most() > MOST.scaled(9, 10)).await;
        let page = async {
            while !get(http, "/status.json").await.contains("\"lease_s\":1") {
                sleep(Duration::from_millis(50)).await;
            }
        };
        wait_for_port(http).await;
        timeout(PATIENCE, page).await.expect("its lease is confirmed");
        let taken = headroom(&["run", "--config", other]).await;
        assert_eq!(taken.code, Some(1));
        let told = taken.stderr.lines().last().unwrap_or_default();
        assert!(told.contains("ocpp.listen: cannot listen on") && told.contains("choose another port"), "{told}");

        assert_eq!(daemon.signal("TERM").await, Some(0), "{round}");
        let kept = ["a", "b"].map(|slot| {
            std::fs::read_to_string(house.folder.path().join(format!("leases.{slot}"))).unwrap_or_default()
        });
        assert!(kept.iter().any(|kept| kept.contains("\"evse\":\"left\"") && kept.contains("\"amps\":16")), "{kept:?}");
        assert_eq!(house.offer(LEFT), MOST);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_tells_where_its_page_is_and_leaves_nothing_behind() {
    let ports = [free_port(), free_port(), free_port()];
    let [http, ocpp, mqtt] = ports.map(|address| address.port().to_string());
    let mut demo = Running::start(&["demo", "--http-port", &http, "--ocpp-port", &ocpp, "--mqtt-port", &mqtt]);
    let mut lines = BufReader::new(demo.child.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.expect("it says something").unwrap().unwrap();
    let page: SocketAddr =
        first.strip_prefix("headroom demo, the page: http://").unwrap().trim_end_matches('/').parse().unwrap();
    // Somebody reads what it prints, or it would wait.
    let reader = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    wait_for_port(page).await;
    assert!(get(page, "/").await.contains("<html"));
    assert!(get(page, "/status.json").await.contains("\"Virtual site\""));
    assert_eq!(demo.signal("INT").await, Some(0));
    for port in ports {
        assert!(tokio::net::TcpStream::connect(port).await.is_err(), "{port} is free again");
    }
    assert!(!std::env::temp_dir().join(format!("headroom-demo-{}", demo.id)).exists(), "its state is gone");
    reader.await.unwrap();
}

/// What a run of the program left.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end.
pub async fn headroom(arguments: &[&str]) -> Run {
    let run = command(arguments).output();
    let output = timeout(PATIENCE, run).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A run of the program that does not end by itself.
struct Running {
    child: Child,
    id: u32,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let child = command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Running { id: child.id().unwrap(), child }
    }

    /// Sends it this signal; its exit code.
    async fn signal(&mut self, name: &str) -> Option<i32> {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id)]).status().await.unwrap();
        assert!(sent.success());
        timeout(STOP_WITHIN, self.child.wait()).await.expect("it ends within 5 s").unwrap().code()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroom"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A port of loopback that nobody has, nor is given before a program takes it: below those that systems hand out.
fn free_port() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 1_000) as u16 * 10;
    let mut ports = (0..10_000).map(|_| 20_000 + (begin + TAKEN.fetch_add(1, Ordering::Relaxed)) % 10_000);
    let free = ports.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    free.expect("a free port").local_addr().unwrap()
}

async fn wait_for_port(address: SocketAddr) {
    let wait = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it listens");
}
