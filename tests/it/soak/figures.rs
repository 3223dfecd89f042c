//! What is measured, and the limits that it is held to.

use std::time::Duration;

use super::tenants::Ledgers;

/// What was counted beside the ledgers.
#[derive(Default)]
pub struct Figures {
    pub kills: u64,
    pub redis_restarts: u64,
    pub hostile: Vec<(&'static str, u64)>,
    pub quiet_handles: usize,
    pub mails: usize,
}

/// The server's memory and open files, over the second half.
#[derive(Default)]
pub struct Samples {
    pid: Option<u32>,
    seconds: Vec<f64>,
    memory_kib: Vec<f64>,
    /// Of that, what the program has from its allocator.
    allocated_kib: Vec<f64>,
    handles: Vec<f64>,
}

/// A line through the samples: how much it rises in ten minutes, and the standard error of that.
struct Slope {
    rise: f64,
    error: f64,
}

/// How much memory may grow in ten minutes.
const MEMORY_KIB: f64 = 1_024.0;
/// Between the fewest and the most open files: the connections that clients hold, who come and go.
const HANDLES: f64 = 200.0;
/// Fewer samples, four minutes of them, tell of warming up and of nothing else; ten minutes' second half has sixty.
const ENOUGH: usize = 50;

// === impl Samples ===

impl Samples {
    pub async fn take(&mut self, time: Duration, pid: u32, admin: u16) {
        assert_eq!(*self.pid.get_or_insert(pid), pid, "the second half is of one process");
        self.seconds.push(time.as_secs_f64());
        self.memory_kib.push(memory_kib(pid));
        self.allocated_kib.push(allocated_kib(admin).await);
        self.handles.push(handles(pid) as f64);
    }

    /// The open files once everybody has gone; waits for it until the server has closed what is slow.
    pub async fn quiet(&self, pid: u32) -> usize {
        let least = least(&self.handles);
        for _ in 0..90 {
            if (handles(pid) as f64) < least {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        handles(pid)
    }

    /// Fails where a limit is broken.
    pub fn judge(&self, quiet_handles: usize) {
        let spread = most(&self.handles) - least(&self.handles);
        assert!(spread <= HANDLES, "open files go from {} to {}", least(&self.handles), most(&self.handles));
        assert!(
            (quiet_handles as f64) <= least(&self.handles),
            "{quiet_handles} files are open when everybody has gone, and {} were while they were there",
            least(&self.handles)
        );
        if self.seconds.len() < ENOUGH {
            println!("too short a run to judge growth by: ten minutes are enough");
            return;
        }
        let memory = Slope::of(&self.seconds, &self.memory_kib);
        // What rises by less than twice the line's error may as well fall: memory goes up and down with the load.
        let surely = memory.rise - 2.0 * memory.error;
        assert!(surely <= MEMORY_KIB, "memory grows by {:.0} ± {:.0} KiB in ten minutes", memory.rise, memory.error);
        let handles = Slope::of(&self.seconds, &self.handles);
        // Twice the error: connections that come and go make a slope of their own.
        assert!(handles.rise <= 2.0 * handles.error + 1.0, "open files grow by {:.1} in ten minutes", handles.rise);
    }
}

// === impl Slope ===

impl Slope {
    /// By least squares.
    fn of(seconds: &[f64], values: &[f64]) -> Self {
        let n = seconds.len().max(1) as f64;
        let (mean_x, mean_y) = (seconds.iter().sum::<f64>() / n, values.iter().sum::<f64>() / n);
        let xx: f64 = seconds.iter().map(|x| (x - mean_x).powi(2)).sum();
        let xy: f64 = seconds.iter().zip(values).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = if xx > 0.0 { xy / xx } else { 0.0 };
        let rest = |(x, y): (&f64, &f64)| (y - mean_y - slope * (x - mean_x)).powi(2);
        let rest: f64 = seconds.iter().zip(values).map(rest).sum();
        let error = if n > 2.0 && xx > 0.0 { (rest / (n - 2.0) / xx).sqrt() } else { 0.0 };
        Self { rise: slope * 600.0, error: error * 600.0 }
    }
}

// === impl Figures ===

impl Figures {
    pub fn print(&self, ledgers: &Ledgers, samples: &Samples) {
        let mut rows: Vec<(String, String)> = vec![
            ("SIGKILLs of the server".into(), self.kills.to_string()),
            ("restarts of Redis".into(), self.redis_restarts.to_string()),
        ];
        rows.extend(ledgers.rows());
        rows.push(("mails in the outboxes, none twice".into(), self.mails.to_string()));
        rows.extend(self.hostile.iter().map(|(what, count)| (format!("hostile: {what}"), count.to_string())));
        let range = |values: &[f64]| format!("{:.0} to {:.0}", least(values), most(values));
        let rise = |slope: Slope, unit: &str| format!("{:+.1} ± {:.1}{unit}", slope.rise, slope.error);
        let [mib, allocated] = [&samples.memory_kib, &samples.allocated_kib]
            .map(|samples| samples.iter().map(|kib| kib / 1_024.0).collect::<Vec<_>>());
        rows.extend([
            ("samples of the second half".into(), samples.seconds.len().to_string()),
            ("memory, MiB".into(), range(&mib)),
            ("memory at six moments of it, MiB".into(), moments(&mib)),
            ("memory, in ten minutes".into(), rise(Slope::of(&samples.seconds, &samples.memory_kib), " KiB")),
            ("allocated at six moments of it, MiB".into(), moments(&allocated)),
            ("allocated, in ten minutes".into(), rise(Slope::of(&samples.seconds, &samples.allocated_kib), " KiB")),
            ("open files".into(), range(&samples.handles)),
            ("open files, in ten minutes".into(), rise(Slope::of(&samples.seconds, &samples.handles), "")),
            ("open files, when all have gone".into(), self.quiet_handles.to_string()),
        ]);
        for (what, figure) in rows {
            println!("  {what:<44} {figure:>20}");
        }
    }
}

/// What grows for good goes on at the end as at the beginning; what fills up does not.
fn moments(values: &[f64]) -> String {
    let at = |n: usize| values.get(n * values.len().saturating_sub(1) / 5).map_or(String::new(), |v| format!("{v:.0}"));
    (0..6).map(at).collect::<Vec<_>>().join(" ")
}

fn memory_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn allocated_kib(admin: u16) -> f64 {
    let answer = reqwest::get(format!("http://127.0.0.1:{admin}/metrics")).await.expect("an answer");
    let metrics = answer.text().await.expect("a text");
    let line = metrics.lines().find_map(|line| line.strip_prefix("herald_allocated_memory_bytes "));
    line.and_then(|bytes| bytes.parse::<f64>().ok()).expect("a number") / 1_024.0
}

fn handles(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

#[test]
fn a_slope_is_that_of_the_line_through_the_samples() {
    let seconds: Vec<f64> = (0..100).map(|n| f64::from(n) * 5.0).collect();
    let line: Vec<f64> = seconds.iter().map(|x| 7.0 + x / 60.0).collect();
    let slope = Slope::of(&seconds, &line);
    assert!((slope.rise - 10.0).abs() < 1e-6 && slope.error < 1e-6, "{} ± {}", slope.rise, slope.error);
    let noisy: Vec<f64> = line.iter().enumerate().map(|(n, y)| y + if n % 2 == 0 { 3.0 } else { -3.0 }).collect();
    let slope = Slope::of(&seconds, &noisy);
    assert!((slope.rise - 10.0).abs() < 2.0 * slope.error, "{} ± {}", slope.rise, slope.error);
}
