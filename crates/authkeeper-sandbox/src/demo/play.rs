//! Plays a story from its beginning to its end.

use std::{ffi::OsString, future::Future, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{
    claims::{self, DemoClaim},
    error::DemoError,
    scene::DemoScene,
    screen::Screen,
    story,
    terminal::DemoTerminal,
    without_refresh,
    workspace::Workspace,
};

/// Which story is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// The whole story: refresh, an outage, a kill, the end of access.
    Whole {
        /// The person signs in in their own browser.
        own_browser: bool,
    },
    /// The job holds one access token to the end, and fails.
    WithoutRefresh,
}

impl Story {
    /// How much time the timeline has room for.
    fn span(self) -> Duration {
        match self {
            Self::Whole { .. } => Duration::from_mins(1),
            Self::WithoutRefresh => Duration::from_secs(32),
        }
    }
}

/// What the command line hands in.
pub struct DemoOptions<'a> {
    /// The story.
    pub story: Story,
    /// The `authkeeper` binary.
    pub program: PathBuf,
    /// Reads the caller's environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

/// A demo that was played to its end, or stopped.
#[must_use = "the workspace is removed when it is dropped"]
pub struct Demo {
    /// How it ended.
    pub outcome: DemoOutcome,
    /// The folder with the store, the configuration and the logs.
    pub workspace: Workspace,
}

/// How a demo ended.
#[derive(Debug)]
pub enum DemoOutcome {
    /// It was stopped from outside.
    Stopped,
    /// The story broke off.
    Failed(DemoError),
    /// The story was told to its end.
    Told(DemoReport),
}

/// What the demo claims, and the facts behind it.
#[derive(Debug)]
pub struct DemoReport {
    /// The claims.
    pub claims: Vec<DemoClaim>,
    /// The facts, as JSON.
    pub facts: Value,
}

impl DemoReport {
    /// Whether every claim holds.
    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.ok)
    }
}

impl Demo {
    /// Makes the workspace of a demo.
    ///
    /// # Errors
    ///
    /// The temporary folder can't be made.
    pub fn workspace(options: &DemoOptions<'_>) -> Result<Workspace, DemoError> {
        let own_browser = options.story == Story::Whole { own_browser: true };
        Workspace::build(&options.program, options.variable, own_browser)
    }

    /// Plays a story until its end or until `stop` is ready. However it ends, every process that was started is ended.
    ///
    /// # Errors
    ///
    /// The sandbox can't be started. All else is told by the outcome.
    pub async fn play(
        story: Story,
        workspace: Workspace,
        terminal: Box<dyn DemoTerminal>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Self, DemoError> {
        let mut scene = DemoScene::open(workspace, Screen::new(terminal), story.span()).await?;
        let told = tokio::select! {
            told = tell(&mut scene, story) => Some(told),
            () = stop => None,
        };
        let (mut workspace, mut screen, sandbox) = scene.close();
        workspace.clear().await;
        sandbox.stop().await;
        let outcome = match told {
            Some(Ok(report)) => DemoOutcome::Told(report),
            Some(Err(error)) => DemoOutcome::Failed(error),
            None => {
                screen.tell("Stopped. Nothing is left running.");
                DemoOutcome::Stopped
            }
        };
        Ok(Self { outcome, workspace })
    }
}

async fn tell(scene: &mut DemoScene, story: Story) -> Result<DemoReport, DemoError> {
    match story {
        Story::Whole { own_browser } => {
            let facts = story::play(scene, own_browser).await?;
            Ok(DemoReport {
                claims: claims::verdict(&facts),
                facts: json!(facts),
            })
        }
        Story::WithoutRefresh => {
            let facts = without_refresh::play(scene).await?;
            Ok(DemoReport {
                claims: claims::held_verdict(&facts),
                facts: json!(facts),
            })
        }
    }
}
