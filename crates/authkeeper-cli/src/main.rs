//! authkeeper: OAuth that survives the night.
//!
//! ```text
//! args ─▶ settings ─▶ app ─▶ commands ─┬─▶ authkeeper_gateway (serves calls) ─┐
//!                                      └──────────────────────────────────────┴─▶ authkeeper (decides and keeps)
//! ```

mod app;
mod args;
mod commands;
mod exit;
mod failure;
mod help;
mod old_names;
mod output;
mod process;
mod record_text;
mod settings;
mod sign_in_progress;
mod signals;
#[cfg(test)]
mod test_support;
mod usage;
mod wrap;

use std::{ffi::OsString, io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;

use crate::{
    app::App,
    args::{Cli, Command, ConfigCommand, NotifyCommand},
    exit::Exit,
    failure::Failure,
    output::CommandOutput,
    settings::{CliSettings, Environment},
};

fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let cli = match commands::completion::answered(&typed) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => Cli::try_parse_from(&typed),
        Err(error) => Err(error),
    };
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            let error = usage::explained(error, &typed);
            return ExitCode::from(told_by_clap(&error, &typed));
        }
    };
    let environment = Environment::of_process();
    log_to_stderr(&environment);
    let output = CommandOutput::new(cli.json, environment.get("NO_COLOR").is_some());
    let code = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(threads) => {
            let code = threads.block_on(ended(cli, environment, output));
            // A thread that still waits for standard input must not keep the process.
            threads.shutdown_background();
            code
        }
        Err(error) => {
            let what = format!("can't start: {error}");
            output.failure(&Failure::new(
                Exit::Bug,
                what,
                "check the limits of this process (ulimit -a)",
            ));
            Exit::Bug.code()
        }
    };
    ExitCode::from(output.code_of(code))
}

/// Help and version are results; the rest is said to the person who mistyped.
fn told_by_clap(error: &clap::Error, typed: &[OsString]) -> u8 {
    if error.use_stderr() {
        let _ = error.print();
        return Exit::Usage.code();
    }
    let colour = std::io::stdout().is_terminal();
    let output = CommandOutput::new(false, true);
    let text = match help::narrow(error, typed, output.columns()) {
        Some(text) => text,
        None if colour => error.render().ansi().to_string(),
        None => error.render().to_string(),
    };
    output.data_bytes(text.as_bytes());
    output.code_of(0)
}

/// `AUTHKEEPER_LOG` sets what is logged, as in `debug` or `authkeeper=debug`; errors by default.
fn log_to_stderr(environment: &Environment) {
    let filter = environment.text("AUTHKEEPER_LOG").unwrap_or("error");
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}

async fn ended(cli: Cli, environment: Environment, output: CommandOutput) -> u8 {
    let bridge = matches!(cli.command, Command::Mcp(_));
    let plugin = matches!(&cli.command, Command::Status(args) if args.nagios);
    match Box::pin(run(cli, environment, output)).await {
        Ok(code) => code,
        Err(failure) if plugin => {
            let (code, line) = commands::status::unknown(&failure);
            output.data_whole(&line);
            code
        }
        Err(failure) => {
            output.failure(&failure);
            if bridge && is_untold(&failure) {
                Box::pin(commands::mcp::refuse(&failure)).await;
            }
            failure.exit.code()
        }
    }
}

/// Whether the client of a bridge still has to be told: the client of a session that broke has noticed.
fn is_untold(failure: &Failure) -> bool {
    !failure.in_session
}

async fn run(cli: Cli, environment: Environment, output: CommandOutput) -> Result<u8, Failure> {
    if let Some((command, prints)) = cli.command.prints_its_own().filter(|_| cli.json) {
        let what = format!("{command} has no data: its standard output is {prints}");
        return Err(Failure::new(Exit::Usage, what, "leave --json out"));
    }
    let command = match cli.command {
        Command::Sandbox(args) => return commands::sandbox::serve(args, output).await,
        Command::Demo(args) => return commands::demo::demo(args, &environment, output).await,
        Command::DemoJob(args) => {
            return commands::demo::work(args, &environment).await.map(|()| 0);
        }
        Command::DemoPerson { url } => return commands::demo::sign_in(&url).await.map(|()| 0),
        Command::Doctor(args) => return commands::doctor::doctor(environment, output, args).await,
        Command::Completions { shell } => {
            return commands::completion::script(shell, output).map(|()| 0);
        }
        Command::Man(args) => return commands::manual::man(args, output),
        command => command,
    };
    if let Command::Config(ConfigCommand::Show) = command {
        return commands::config::show(&environment, output).map(|()| 0);
    }
    let settings = CliSettings::load(&environment)?;
    let app = App::open(environment, settings, output)?;
    let tells = may_end_incidents(&command);
    let mut interrupted = false;
    let mut done = match command {
        Command::Run(args) => commands::start_run::start(&app, args).await,
        Command::Serve(args) => commands::serve::serve(&app, &args).await.map(|()| 0),
        command => tokio::select! {
            done = dispatch(&app, command) => done,
            number = app.stopped() => {
                interrupted = true;
                Ok(128 + number)
            }
        },
    };
    // However it ended: an exchange under way is finished and kept. Only then do errors and signals have their way.
    app.end().await;
    if tells {
        commands::incident::tell_of_all(&app).await;
    }
    if interrupted {
        commands::connect::say_interrupted(&app).await;
    }
    if let Err(failure) = done {
        done = Err(app.who_may_be_meant(failure).await);
    }
    done
}

/// Whether its owner may be told afterwards that something is over.
fn may_end_incidents(command: &Command) -> bool {
    matches!(
        command,
        Command::Connect(_)
            | Command::Import(_)
            | Command::Rotate(_)
            | Command::Reauthorize(_)
            | Command::Disconnect { .. }
            // The link that was told outlives the run.
            | Command::Run(_)
    )
}

async fn dispatch(app: &App, command: Command) -> Result<u8, Failure> {
    let done = match command {
        Command::Status(args) => return commands::status::status(app, args).await,
        Command::Connect(args) => commands::connect::connect(app, *args).await,
        Command::Apply(args) => return Box::pin(commands::apply::apply(app, args)).await,
        Command::Import(args) => Box::pin(commands::import::import(app, *args)).await,
        Command::Rotate(args) => commands::rotate::rotate(app, args).await,
        Command::RotateKey(args) => commands::rotate_key::rotate_key(app, &args).await,
        Command::Reauthorize(args) => {
            return Box::pin(commands::connect::reauthorize(app, args)).await;
        }
        Command::Disconnect { name, forget } => {
            commands::connect::disconnect(app, &name, forget).await
        }
        Command::Token(args) => commands::token::token(app, args).await,
        Command::Check { name } => commands::check::check(app, name.as_deref()).await,
        Command::Advise => commands::advise::advise(app).await,
        Command::Why { name } => commands::why::why(app, &name).await,
        Command::McpConfig(args) => commands::mcp_config::mcp_config(app, &args).await,
        Command::Notify(NotifyCommand::Test) => commands::notify::test(app).await,
        Command::Mcp(args) => commands::mcp::serve(app, &args).await,
        Command::Attend(args) => commands::attend::attend(app, &args).await,
        // All taken before this.
        Command::Run(_)
        | Command::Serve(_)
        | Command::Sandbox(_)
        | Command::Demo(_)
        | Command::DemoJob(_)
        | Command::DemoPerson { .. }
        | Command::Doctor(_)
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Man(_) => Ok(()),
    };
    done.map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_that_could_not_start_is_told_from_a_session_that_broke() {
        let unavailable = || Failure::new(Exit::Unavailable, "busy", "try again");
        assert!(is_untold(&unavailable()), "whatever its exit code");
        assert!(!is_untold(&unavailable().in_session()));
    }
}
