//! Bridges as a table: a line for each program, pool and worker.

use std::time::Duration;

use super::{Bridge, Pool, Worker};
use crate::color::{FAINT, GOOD, HEADING, WARNING};

const TITLES: [&str; 11] =
    ["NAME", "STATE", "CALLS", "CALLS/S", "BUSY", "P50", "P99", "WAITING", "REFS", "MEMORY", "PID"];

/// What was seen before, and how long ago: for what happens in a second.
pub(super) struct Before<'a> {
    pub(super) bridges: &'a [Bridge],
    pub(super) ago: Duration,
}

#[derive(Default)]
struct Row {
    cells: [String; TITLES.len()],
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    Busy,
    Bad,
    Program,
}

/// The table, with colors.
pub(super) fn show(bridges: &[Bridge], before: Option<&Before<'_>>) -> String {
    let mut rows = Vec::new();
    for bridge in bridges {
        let same = |it: &&Bridge| (it.pid, it.bridge) == (bridge.pid, bridge.bridge);
        let earlier = before.and_then(|before| before.bridges.iter().find(same));
        let ago = before.map_or(Duration::ZERO, |before| before.ago);
        rows.push(of_bridge(bridge));
        for pool in &bridge.pools {
            let earlier = earlier.and_then(|it| it.pools.iter().find(|it| it.name == pool.name));
            rows.push(of_pool(pool, earlier, ago));
            for worker in &pool.workers {
                let same = |it: &&Worker| (it.id, it.generation) == (worker.id, worker.generation);
                let earlier = earlier.and_then(|it| it.workers.iter().find(same));
                rows.push(of_worker(worker, earlier, ago));
            }
        }
    }
    layout(&rows)
}

fn of_bridge(bridge: &Bridge) -> Row {
    let program = bridge.program.rsplit('/').next().unwrap_or_default();
    let number = if bridge.bridge > 1 { format!(" #{}", bridge.bridge) } else { String::new() };
    let mut row = Row { state: State::Program, ..Row::default() };
    row.cells[0] = format!("{program}{number}");
    row.cells[1] = format!("up {}", span(bridge.uptime));
    row.cells[10] = bridge.pid.to_string();
    row
}

fn of_pool(pool: &Pool, earlier: Option<&Pool>, ago: Duration) -> Row {
    let mut row = Row::default();
    let running = pool.workers.iter().filter(|worker| worker.pid.is_some()).count();
    let python = pool.python.as_ref().map(|it| format!(" (Python {it})")).unwrap_or_default();
    row.cells[0] = format!("  {}{python}", pool.name);
    row.cells[1] = format!("{running}/{}", pool.workers.len());
    row.cells[2] = count(pool.calls);
    row.cells[3] = rate(pool.calls, earlier.map(|it| it.calls), ago);
    if pool.calls > 0 {
        row.cells[5] = time(pool.latency_us.p50);
        row.cells[6] = time(pool.latency_us.p99);
    }
    row.cells[7] = count(pool.waiting);
    if pool.waiting > 0 {
        row.state = State::Busy;
    }
    row
}

fn of_worker(worker: &Worker, earlier: Option<&Worker>, ago: Duration) -> Row {
    let mut row = Row::default();
    row.cells[0] = format!("    worker {}", worker.id);
    row.cells[1].clone_from(&worker.state);
    row.cells[2] = count(worker.calls);
    row.cells[3] = rate(worker.calls, earlier.map(|it| it.calls), ago);
    if let Some(earlier) = earlier.filter(|_| !ago.is_zero()) {
        let part = (worker.busy - earlier.busy) / ago.as_secs_f64();
        row.cells[4] = format!("{:.0} %", part.max(0.0) * 100.0);
    }
    row.cells[8] = count(worker.refs);
    row.cells[9] = worker.memory.map(bytes).unwrap_or_default();
    row.cells[10] = worker.pid.map(|pid| pid.to_string()).unwrap_or_default();
    row.state = match &*worker.state {
        "busy" => State::Busy,
        "stopping" | "dead" => State::Bad,
        _ => State::Plain,
    };
    row
}

/// Columns that nobody has anything in are left out.
fn layout(rows: &[Row]) -> String {
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row.cells[column].chars().count()).max().unwrap_or(0);
        if widest == 0 { 0 } else { widest.max(TITLES[column].len()) }
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            match (column, *width) {
                (_, 0) => {}
                (0, width) => line.push_str(&format!("{cell:width$}")),
                (1, width) => line.push_str(&format!("  {cell:width$}")),
                (_, width) => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        line.trim_end().to_owned()
    };
    let titles = TITLES.map(str::to_owned);
    let mut out = format!("{FAINT}{}{FAINT:#}\n", line(&titles));
    for row in rows {
        let style = match row.state {
            State::Plain => None,
            State::Busy => Some(GOOD),
            State::Bad => Some(WARNING),
            State::Program => Some(HEADING),
        };
        match style {
            None => out.push_str(&line(&row.cells)),
            Some(style) => out.push_str(&format!("{style}{}{style:#}", line(&row.cells))),
        }
        out.push('\n');
    }
    out
}

/// With separators: `12,345`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn rate(now: u64, before: Option<u64>, ago: Duration) -> String {
    match before {
        Some(before) if !ago.is_zero() => {
            count((now.saturating_sub(before) as f64 / ago.as_secs_f64()).round() as u64)
        }
        _ => String::new(),
    }
}

/// Of microseconds.
fn time(micros: f64) -> String {
    match micros {
        _ if micros < 10.0 => format!("{micros:.1} µs"),
        _ if micros < 1e3 => format!("{micros:.0} µs"),
        _ if micros < 1e6 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

fn bytes(bytes: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    match bytes as f64 / MIB {
        mib if mib < 1024.0 => format!("{mib:.0} MiB"),
        mib => format!("{:.1} GiB", mib / 1024.0),
    }
}

/// Of seconds.
fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(calls: u64, busy: f64) -> Bridge {
        let text = format!(
            r#"{{"version":"0.1.0","program":"/opt/bin/shop","pid":4711,"bridge":2,"uptime":3725.5,"pools":[
                {{"name":"default","python":"3.12.1","waiting":3,"calls":{calls},
                  "latency_us":{{"mean":10,"p50":9.1,"p99":1234.5}},"workers":[
                  {{"id":0,"generation":0,"state":"busy","calls":{calls},"refs":2,"sessions":1,
                    "pid":4712,"memory":25165824,"busy":{busy}}},
                  {{"id":1,"generation":3,"state":"dead","calls":0,"refs":0,"sessions":0,
                    "pid":null,"memory":null,"busy":0}}]}},
                {{"name":"gpu","python":null,"waiting":0,"calls":0,
                  "latency_us":{{"mean":0,"p50":0,"p99":0}},"workers":[]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_look() {
        insta::assert_snapshot!(plain(&show(&[bridge(12345, 1.5)], None)), @r#"
        NAME                       STATE          CALLS     P50     P99  WAITING  REFS  MEMORY   PID
        shop #2                    up 1 h 2 min                                                 4711
          default (Python 3.12.1)  1/2           12,345  9.1 µs  1.2 ms        3
            worker 0               busy          12,345                              2  24 MiB  4712
            worker 1               dead               0                              0
          gpu                      0/0                0                        0
        "#);
    }

    #[test]
    fn the_next_look() {
        let before = [bridge(12345, 1.5)];
        let before = Before { bridges: &before, ago: Duration::from_secs(2) };
        insta::assert_snapshot!(plain(&show(&[bridge(15345, 2.5)], Some(&before))), @r#"
        NAME                       STATE          CALLS  CALLS/S  BUSY     P50     P99  WAITING  REFS  MEMORY   PID
        shop #2                    up 1 h 2 min                                                                4711
          default (Python 3.12.1)  1/2           15,345    1,500        9.1 µs  1.2 ms        3
            worker 0               busy          15,345    1,500  50 %                              2  24 MiB  4712
            worker 1               dead               0        0   0 %                              0
          gpu                      0/0                0        0                              0
        "#);
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([9.13, 99.9, 1500.0, 2e6].map(time), ["9.1 µs", "100 µs", "1.5 ms", "2.0 s"]);
        assert_eq!(
            [59.9, 61.0, 3725.0, 9e4].map(span),
            ["59 s", "1 min 1 s", "1 h 2 min", "1 d 1 h"]
        );
        assert_eq!([3 << 20, 3 << 30].map(bytes), ["3 MiB", "3.0 GiB"]);
    }
}
