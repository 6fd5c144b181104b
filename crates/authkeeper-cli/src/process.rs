//! Who started whom, as /proc tells it.

/// A process as it is told apart from a later one with the same number: its id and when it started.
pub(crate) fn myself() -> String {
    let pid = std::process::id();
    read(pid).map_or_else(|| pid.to_string(), |(name, _)| name)
}

/// This process's ancestors, nearest first.
pub(crate) fn ancestors() -> Vec<String> {
    let mut found = Vec::new();
    let mut next = read(std::process::id()).map(|(_, parent)| parent);
    // A process has few ancestors; the bound keeps a changing /proc from sending us round in circles.
    while let Some((name, parent)) = next.filter(|pid| *pid > 1).and_then(read) {
        found.push(name);
        next = (found.len() < 64).then_some(parent);
    }
    found
}

/// What this machine is called.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// A process's name for us, and its parent's id. Fields 4 and 22 of `proc_pid_stat(5)`, counted after the command's
/// closing parenthesis, since a command may contain anything.
fn read(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?;
    Some((format!("{pid}:{started}"), parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_finds_its_parent() {
        let (_, parent) = read(std::process::id()).unwrap();
        let (name, _) = read(parent).unwrap();
        assert_eq!(ancestors().first(), Some(&name));
        assert!(myself().starts_with(&format!("{}:", std::process::id())));
    }
}
