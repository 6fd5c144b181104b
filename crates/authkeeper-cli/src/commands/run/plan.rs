//! What a run runs.

use std::ffi::OsString;

use authkeeper::{model::ConnectionName, secret::SecretString};

use crate::settings::Environment;

/// What is to be run.
pub(crate) struct RunPlan {
    pub(crate) declared: Vec<ConnectionName>,
    pub(crate) command: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) handle: SecretString,
    pub(crate) task_id: String,
    /// The command's own variables that say which hosts need no proxy.
    pub(crate) without_proxy: Vec<(&'static str, String)>,
}

/// As programs of all kinds write this machine.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// What the command's environment says about hosts that need no proxy, with this machine among them: otherwise its calls to
/// our loopback proxy, and the handle in them, go to the network's proxy in the clear. Programs read either spelling, so
/// both are set; where only one was, the other says the same.
pub(crate) fn without_proxy(environment: &Environment) -> Vec<(&'static str, String)> {
    let (capitals, small) = (environment.text("NO_PROXY"), environment.text("no_proxy"));
    let with_loopback = |list: Option<&str>| {
        let list = list.unwrap_or_default().trim();
        let listed: Vec<&str> = list.split([',', ' ']).map(str::trim).collect();
        let lacking = LOOPBACK.iter().filter(|host| !listed.contains(host));
        // Behind a `*` nothing more is read.
        let lacking = lacking.copied().filter(|_| list != "*");
        let parts = Some(list).into_iter().filter(|list| !list.is_empty());
        parts.chain(lacking).collect::<Vec<_>>().join(",")
    };
    vec![
        ("NO_PROXY", with_loopback(capitals.or(small))),
        ("no_proxy", with_loopback(small.or(capitals))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::environment;

    fn set(pairs: &[(&str, &str)]) -> Vec<String> {
        let set = without_proxy(&environment(pairs));
        set.into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn this_machine_needs_no_proxy_in_either_spelling() {
        let all = "127.0.0.1,localhost,::1";
        let both = |value: &str| [format!("NO_PROXY={value}"), format!("no_proxy={value}")];
        assert_eq!(set(&[]), both(all));
        assert_eq!(set(&[("NO_PROXY", "")]), both(all));
        assert_eq!(set(&[("no_proxy", "corp")]), both(&format!("corp,{all}")));
        assert_eq!(set(&[("NO_PROXY", "*")]), both("*"));
        let listed = "localhost, .corp,127.0.0.1";
        assert_eq!(set(&[("NO_PROXY", listed)]), both(&format!("{listed},::1")));
        let differ = set(&[("NO_PROXY", "a"), ("no_proxy", "b")]);
        assert_eq!(
            differ,
            [format!("NO_PROXY=a,{all}"), format!("no_proxy=b,{all}")]
        );
    }
}
