//! What came out, and on which machine? A table in Markdown, to be put into docs/BENCHMARKS.md as it is.

use headroom::clock::Clock;
use std::fs;
use std::time::Duration;

/// Rows of what was measured, with the aim where there is one.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 6]>,
}

impl Table {
    /// Times of the same thing, in any order.
    pub fn times(&mut self, what: &str, mut times: Vec<Duration>, aim: &str) {
        times.sort();
        // The nearest rank: so many percent took no longer.
        let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let (least, most) = (times.first().copied(), times.last().copied());
        let [least, p50, p99, most] = [least, at(50), at(99), most].map(|time| time.map_or("–".to_owned(), in_words));
        eprintln!("{what}: least {least}, p50 {p50}, p99 {p99}, most {most}, of {}", times.len());
        self.rows.push([format!("{what} ({} times)", times.len()), least, p50, p99, most, aim.to_owned()]);
    }

    /// One number with its unit.
    pub fn number(&mut self, what: &str, number: &str, aim: &str) {
        eprintln!("{what}: {number}");
        self.rows.push([
            what.to_owned(),
            String::new(),
            number.to_owned(),
            String::new(),
            String::new(),
            aim.to_owned(),
        ]);
    }

    /// To stdout, columns in line.
    pub fn print(&self) {
        let head = ["", "least", "p50, or value", "p99", "most", "aim"].map(str::to_owned);
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&head]).map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths = [0, 1, 2, 3, 4, 5].map(width);
        let line = |row: &[String; 6]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} "));
            format!("|{}|", cells.collect::<Vec<_>>().join("|"))
        };
        println!("\n{}\n", machine());
        println!("{}", line(&head));
        println!("{}", line(&widths.map(|width| "-".repeat(width))));
        self.rows.iter().for_each(|row| println!("{}", line(row)));
    }
}

fn in_words(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..100.0 => format!("{micros:.1} µs"),
        100.0..1_000.0 => format!("{micros:.0} µs"),
        _ => format!("{:.2} ms", micros / 1e3),
    }
}

/// Date, version, processor, cores and kernel.
fn machine() -> String {
    let date = Clock::start().wall().date_naive();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let arch = std::env::consts::ARCH;
    let version = env!("CARGO_PKG_VERSION");
    format!("{date}, headroom {version}: {}, {cores} cores, {arch}, Linux {kernel}", processor())
}

/// As the kernel names it; small boards are named in the device tree instead.
fn processor() -> String {
    let from_list = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()));
    from_list.unwrap_or_else(|| read("/proc/device-tree/model").trim_end_matches('\0').to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
