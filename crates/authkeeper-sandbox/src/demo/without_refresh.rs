//! The story without refresh: the job gets one key at the start and holds it to the end, as most programs do today.

use std::time::Duration;

use super::{
    claims::WithoutRefreshFacts,
    error::DemoError,
    facts,
    job_log::JobCall,
    scene::{DemoScene, KEY_LIFE, bug, seconds},
    terminal::Tone,
};

const STEP: Duration = Duration::from_secs(30);

pub(super) async fn play(scene: &mut DemoScene) -> Result<WithoutRefreshFacts, DemoError> {
    scene
        .screen
        .tell("authkeeper demo --without-refresh: half a minute, all of it on this machine.");
    scene.screen.tell("");
    scene.screen.tell(&format!(
        "The same job, the way most programs do it today: it is given a key (an \"access token\") at the start and shows \
         that key to the end. The provider lets a key live {} here, in real life about an hour.",
        seconds(KEY_LIFE)
    ));
    let url = format!("{}/api", scene.sandbox.url());
    let connect = ["connect", "demo", &url, "--principal", "alice"];
    let signed_in = scene
        .show(&connect, |line| line.contains("is connected"))
        .await?;
    if signed_in.code() != Some(0) {
        return Err(bug(format!(
            "the sign-in failed: {}",
            signed_in.stderr.trim()
        )));
    }
    scene.begin()?;
    hold(scene, &url).await?;
    let held = facts::gather_held(scene);
    through_authkeeper(scene).await?;
    Ok(facts::gather_after(scene, held))
}

async fn hold(scene: &mut DemoScene, url: &str) -> Result<(), DemoError> {
    let seconds = KEY_LIFE.as_secs() + 6;
    let options = format!("--direct {url} --seconds {seconds}");
    scene.workspace.furnish_job("job-alone", &options)?;
    scene.screen.command("authkeeper token demo | ./job-alone");
    scene
        .workspace
        .pipe(&["token", "demo"], &["./job-alone"])
        .await?;
    scene.happens(
        None,
        "Calls go on, with the one key there is.",
        "The job has its key and works. Nobody will get it another one.",
    );
    let failed = |scene: &DemoScene| scene.log.count(JobCall::is_failed) > 0;
    scene.until("the first failed call", STEP, failed).await?;
    scene.mark("key ended", Tone::Bad);
    scene.happens(
        Some(Tone::Bad),
        "The key has ended; every call fails.",
        "The key has ended, and from now on every call is refused (401). A new key could be had for the asking; but the \
         job holds only the old one, and nobody asks.",
    );
    scene.until_ended(STEP).await?;
    scene.read_log();
    scene.draw();
    scene.screen.keep_picture();
    Ok(())
}

/// That a new key could be had is true: with it the same job does what it left.
async fn through_authkeeper(scene: &mut DemoScene) -> Result<(), DemoError> {
    scene
        .screen
        .say("The same job, through authkeeper, for two seconds:");
    scene.workspace.furnish_job("job", "--seconds 2")?;
    let ran = scene
        .show(&["run", "--with", "demo", "--", "./job"], |_| true)
        .await?;
    match ran.code() {
        Some(0) => Ok(()),
        _ => Err(bug(format!("the run ended with {}", ran.status))),
    }
}
