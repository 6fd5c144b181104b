//! How large the bridges are, and whether they grow.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use crate::wait::unix_moment;

/// Seconds between two looks at one process.
const EVERY: f64 = 5.0;
/// So much is no growth: an allocator keeps what it had once.
const SLACK_KIB: u64 = 1024;

/// Resident KiB of each bridge, with the time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    looks: Mutex<BTreeMap<usize, Vec<(f64, u64)>>>,
}

/// One bridge, early and late in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The middle value of the second quarter of the time, in KiB.
    pub early: u64,
    /// The middle value of the last quarter.
    pub late: u64,
}

impl Growth {
    /// Whether it is as large as it was.
    pub fn is_flat(self) -> bool {
        self.late <= self.early + SLACK_KIB + self.early / 20
    }
}

impl Memory {
    /// Looks at a bridge's process, if that is due.
    pub(super) fn note(&self, bridge: usize, pid: u32) {
        let now = unix_moment();
        let mut looks = self.looks.lock().expect("no panic");
        let looks = looks.entry(bridge).or_default();
        if looks.last().is_none_or(|(at, _)| now - at >= EVERY) {
            looks.extend(resident(pid).map(|size| (now, size)));
        }
    }

    /// How each bridge grew.
    pub(super) fn growth(&self) -> Vec<Growth> {
        let looks = self.looks.lock().expect("no panic");
        looks.values().filter_map(|looks| grown(looks)).collect()
    }
}

fn grown(looks: &[(f64, u64)]) -> Option<Growth> {
    let quarter = looks.len() / 4;
    Some(Growth {
        early: middle(looks.get(quarter..2 * quarter)?)?,
        late: middle(looks.get(3 * quarter..)?)?,
    })
}

fn middle(looks: &[(f64, u64)]) -> Option<u64> {
    let mut sizes: Vec<u64> = looks.iter().map(|(_, size)| *size).collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied()
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_seen_to_grow() {
        let looks = |growth: u64| {
            (0..40)
                .map(|at| (5.0, 9_000 + at * growth))
                .collect::<Vec<_>>()
        };
        assert!(grown(&looks(0)).unwrap().is_flat());
        assert!(grown(&looks(20)).unwrap().is_flat());
        assert!(!grown(&looks(100)).unwrap().is_flat());
        assert_eq!(grown(&looks(0)[..3]), None);
    }
}
