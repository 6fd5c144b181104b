//! What the arguments say: the settings of the sandbox, and the client to try.

use authkeeper_sandbox::{ClientCommand, ClientError, SandboxSettings, StartError};

use crate::{args::sandbox::SandboxArgs, exit::Exit, failure::Failure};

pub(super) fn not_started(error: &StartError) -> Failure {
    let what = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    let next = "another program has that port, perhaps a sandbox that you started before: leave --port out to take a free \
                port, and use the URL that is printed";
    Failure::new(Exit::Unavailable, what, next)
}

pub(super) fn no_client(error: &ClientError) -> Failure {
    Failure::new(Exit::Usage, error.to_string(), "give a command after --")
}

/// The client to try, if one was given.
pub(super) fn client(args: &SandboxArgs) -> Option<ClientCommand> {
    ClientCommand::new(&args.client, args.timeout)
}

/// What was typed over what is usual.
pub(super) fn settings(args: &SandboxArgs, usual: SandboxSettings) -> SandboxSettings {
    let mut settings = usual;
    settings.port = args.port;
    settings.faults.extend(args.faults.iter().cloned());
    let rules = &mut settings.rules;
    rules.auto_approve |= args.auto_approve;
    rules.ttl = args.ttl.unwrap_or(rules.ttl);
    rules.refresh_ttl = args.refresh_ttl.or(rules.refresh_ttl);
    rules.profile = args.profile.unwrap_or(rules.profile);
    settings
}
