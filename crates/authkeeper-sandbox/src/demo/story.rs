//! The whole story: sign in once; a job outlives its keys, an outage and a kill; then access ends.

use std::time::Duration;

use serde_json::Value;

use super::{
    claims::StoryFacts,
    error::DemoError,
    facts::{self, Moments},
    scene::{DemoScene, KEY_LIFE, KEY_LIFE_MS, bug, now, seconds},
    terminal::Tone,
    timeline::TimelineMark,
    traces,
    workspace::{CommandEnd, CommandFiles, read},
};
use crate::counters::Counters;

/// The outage is over this long after the key in use was given: its renewal falls due in it, and its end does not.
const OUTAGE_FROM: Duration = Duration::from_secs(7);
const OUTAGE: Duration = Duration::from_secs(9);
/// Longer than any step takes.
const STEP: Duration = Duration::from_secs(30);
const DOWN: Duration = Duration::from_millis(1_200);
/// A key's successor is there by then.
const RENEWED: Duration = Duration::from_secs(20);

const RUN: [&str; 5] = ["run", "--with", "demo", "--", "./job"];

/// Plays it, and gives what was seen and counted.
pub(super) async fn play(
    scene: &mut DemoScene,
    own_browser: bool,
) -> Result<StoryFacts, DemoError> {
    let mut moments = Moments::default();
    introduce(scene);
    sign_in(scene, own_browser).await?;
    let outputs = outlive(scene).await?;
    outage(scene, &mut moments).await?;
    let outputs = kill_and_restart(scene, &outputs, &mut moments).await?;
    end_of_access(scene, &outputs, &mut moments).await?;
    Ok(facts::gather(scene, &moments))
}

fn introduce(scene: &mut DemoScene) {
    let screen = &mut scene.screen;
    screen
        .tell("authkeeper demo: about a minute, all of it on this machine, in a temporary folder.");
    screen.tell("");
    screen.tell(&format!(
        "Alice has a job that works in her name at an online service, all night. With each call it must show a key (an \
         \"access token\"). Keys are short-lived, so that a stolen one is soon worthless: here {}, in real life about an \
         hour. authkeeper gets the next one in time, and keeps the job going whatever happens.",
        seconds(KEY_LIFE)
    ));
    screen.tell(
        "The service here is authkeeper's sandbox, which counts everything. What this demo claims is compared with those \
         counts at the end.",
    );
}

async fn sign_in(scene: &mut DemoScene, own_browser: bool) -> Result<(), DemoError> {
    scene.screen.part("1 of 5  Alice signs in, once");
    let url = format!("{}/api", scene.sandbox.url());
    let arguments = ["connect", "demo", &url, "--principal", "alice"];
    if own_browser {
        scene
            .screen
            .say("Your turn: you are Alice. Press Allow on the page that opens.");
        by_hand(scene, &arguments).await?;
    } else {
        scene.screen.say(
            "A browser would open now. The demo stands in for Alice at the sign-in page and presses Allow (--browser: you \
             do).",
        );
        let said = |line: &str| line.contains("is connected");
        let ended = tokio::time::timeout(STEP, scene.show(&arguments, said)).await;
        let ended = ended.map_err(|_late| bug("the sign-in took too long"))??;
        if ended.code() != Some(0) {
            return Err(bug(format!("the sign-in failed: {}", ended.stderr.trim())));
        }
    }
    scene.begin()
}

/// The sign-in in the person's own browser: what `connect` says is shown as it comes.
async fn by_hand(scene: &mut DemoScene, arguments: &[&str]) -> Result<(), DemoError> {
    let outputs = scene.start(arguments)?;
    let mut shown = 0;
    let status = loop {
        let status = scene.look().await;
        let text = std::fs::read_to_string(&outputs.stderr).unwrap_or_default();
        for line in text.lines().skip(shown) {
            shown += 1;
            scene.screen.printed(line);
        }
        if let Some(status) = status {
            break status;
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(DemoError::NotSignedIn)
}

async fn outlive(scene: &mut DemoScene) -> Result<CommandFiles, DemoError> {
    scene
        .screen
        .part("2 of 5  The job runs longer than its key lives");
    let outputs = scene.start(&RUN)?;
    scene.happens(None, "Calls go on; the key is swapped before it ends.", "The job calls the service all the time, up to four calls side by side. It never sees a key: authkeeper adds it on the \
         way.",
    );
    scene
        .until("the second key", STEP, |scene| scene.keys.len() == 2)
        .await?;
    let text = format!(
        "Key 1 is {} s old; authkeeper swapped it for key 2 ahead of time. The calls just go on.",
        (scene.keys[1] - scene.keys[0]) / 1000
    );
    scene.happens(Some(Tone::Good), "Calls go on, with key 2.", &text);
    Ok(outputs)
}

async fn outage(scene: &mut DemoScene, moments: &mut Moments) -> Result<(), DemoError> {
    let begins = |scene: &DemoScene| scene.key_age() >= OUTAGE_FROM;
    scene.until("the outage", STEP, begins).await?;
    scene
        .screen
        .part("3 of 5  An outage, just when a new key is due");
    let fault = scene.order("fault status=503,retry_after=1s,at=token")?;
    let from = now();
    scene.marks.push(TimelineMark {
        from: scene.since_zero(from),
        until: Some(i64::MAX),
        label: "outage",
        paint: Tone::Warn,
    });
    scene.happens(Some(Tone::Warn), "The sign-in server is down. Calls go on, with key 2.", "From now on every request for a new key is answered with \"out of service, try again\" (503).",
    );
    let turned_away = |scene: &DemoScene| facts::turned_away(&scene.counters()) > 0;
    scene
        .until("a renewal in the outage", STEP, turned_away)
        .await?;
    scene.happens(Some(Tone::Warn), "A new key is due, none to be had. Calls go on, with key 2.", "A new key is due and none is to be had. Key 2 is good for some seconds more: calls go on, authkeeper keeps asking.",
    );
    let over = |_: &DemoScene| now() - from >= i64::try_from(OUTAGE.as_millis()).unwrap_or(0);
    scene.until("the end of the outage", STEP, over).await?;
    recovery(scene, &fault["fault"], from, moments).await
}

/// The server is back, and the key in use gets its successor.
async fn recovery(
    scene: &mut DemoScene,
    fault: &Value,
    from: i64,
    moments: &mut Moments,
) -> Result<(), DemoError> {
    scene.order(&format!("clear {fault}"))?;
    let until = now();
    moments.outage = (from, until);
    if let Some(mark) = scene.marks.last_mut() {
        mark.until = Some(until - scene.keys[0]);
    }
    scene
        .until("the third key", STEP, |scene| scene.keys.len() == 3)
        .await?;
    let [.., second, third] = scene.keys[..] else {
        return Err(bug("there are no two keys"));
    };
    let to_spare = second + KEY_LIFE_MS - third;
    let text = if to_spare > 0 {
        format!(
            "The server is back after {} s, and key 3 is there {}.{} s before the end of key 2.",
            (until - from) / 1000,
            to_spare / 1000,
            to_spare % 1000 / 100
        )
    } else {
        "The server is back. Key 3 is there, but after the end of key 2: calls had to wait."
            .to_owned()
    };
    scene.happens(Some(Tone::Good), "Calls go on, with key 3.", &text);
    Ok(())
}

/// The worst moment for a program that holds its keys in memory: the old key is spent, the new one just came.
async fn kill_and_restart(
    scene: &mut DemoScene,
    outputs: &CommandFiles,
    moments: &mut Moments,
) -> Result<CommandFiles, DemoError> {
    scene
        .screen
        .part("4 of 5  Killed right after a swap, and started again");
    scene.happens(
        None,
        "Calls go on, with key 3. The kill comes with key 4.",
        "Waiting for the moment in which the next key arrives.",
    );
    let kept = |scene: &DemoScene| {
        scene.keys.len() == 4
            && traces::renewals(&scene.workspace.path().join("home")).done == 3
            && scene.under_way() >= 2
    };
    scene.until("the fourth key", STEP, kept).await?;
    let killed = scene.workspace.kill(outputs).await?;
    if !killed.was_killed() {
        return Err(bug(format!("the run was not killed: {}", killed.status)));
    }
    scene.mark("kill", Tone::Bad);
    scene.read_log();
    moments.killed = Some(now());
    moments.cut_off = scene.under_way();
    let text = format!(
        "Key 4 has just come, key 3 is spent: kill -9. authkeeper and the job are dead at once, {} calls under way.",
        moments.cut_off
    );
    scene.happens(Some(Tone::Bad), "Nothing runs any more.", &text);
    scene.pass(DOWN).await;
    let outputs = scene.start(&RUN)?;
    let answered = |scene: &DemoScene| facts::answered_since(scene, moments.killed) > 4;
    scene
        .until("the first calls after the restart", STEP, answered)
        .await?;
    scene.happens(Some(Tone::Good), "Calls go on where they stopped, with key 4.", "The same command again, and no sign-in: key 4 was safe on disk. The calls that were cut off are sent again under \
         their old numbers, so the service does nothing twice.",
    );
    Ok(outputs)
}

async fn end_of_access(
    scene: &mut DemoScene,
    outputs: &CommandFiles,
    moments: &mut Moments,
) -> Result<(), DemoError> {
    let third = scene.keys.get(2).copied().unwrap_or_default();
    let outlived = |_: &DemoScene| now() > third + KEY_LIFE_MS + 500;
    scene
        .until("the end of the third key", RENEWED, outlived)
        .await?;
    scene.screen.part("5 of 5  Alice leaves the company");
    scene.order("revoke alice")?;
    let after: Counters = scene.counters();
    let at = now();
    moments.ended = Some((at, after.api_ok));
    scene.ended = Some(at);
    scene.mark("ended", Tone::Bad);
    scene.happens(
        Some(Tone::Bad),
        "Access has ended.",
        "The provider ends all access given in her name.",
    );
    let status = scene.until_ended(STEP).await?;
    let run = read(status, outputs);
    moments.run = run.code();
    scene.sentence = "Access has ended, and the run with it.";
    scene.read_log();
    scene.draw();
    scene.screen.keep_picture();
    moments.asked = Some(facts::asked(&scene.counters()));
    tell_of_end(scene, &run, moments);
    look_around(scene, moments).await
}

fn tell_of_end(scene: &mut DemoScene, run: &CommandEnd, moments: &mut Moments) {
    let code = run
        .code()
        .map_or_else(|| "?".to_owned(), |code| code.to_string());
    scene.screen.say(
        "The next call was refused; authkeeper asked for a new key, once, was refused that too, and stopped. The job took \
         it for no error of its own, as many programs do. `run` does not let that pass:",
    );
    let said = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("authkeeper: "));
    for line in said {
        scene.screen.printed(line);
    }
    scene.screen.printed(&format!("(exit code {code})"));
    let records: Vec<Value> = run.stderr.lines().filter_map(record).collect();
    moments.records = records.len() as u64;
    if let Some(record) = records.first() {
        scene
            .screen
            .say("What the owner gets: one JSON line on standard error, here field by field.");
        for field in ["event", "connection", "principal", "detail", "action"] {
            let value = record[field].as_str().unwrap_or("?");
            scene.screen.field(field, value);
        }
        scene.screen.say(
            "In plain words: the service no longer lets this job work in Alice's name. If that is a mistake, she signs in \
             again with that one command.",
        );
    }
    moments.notices = scene.workspace.notices().lines().filter_map(record).count() as u64;
    if moments.notices > 0 {
        scene.screen.say(
            "The same went to the command named in the configuration (on_incident), where one would send a mail or a chat \
             message.",
        );
    }
}

fn record(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    (value["event"] == "reauthorization_required").then_some(value)
}

async fn look_around(scene: &mut DemoScene, moments: &mut Moments) -> Result<(), DemoError> {
    scene.show(&["status"], |_| true).await?;
    let plain = |line: &str| !line.starts_with('{');
    let token = scene.show(&["token", "demo"], plain).await?;
    moments.token = token.code();
    let code = token
        .code()
        .map_or_else(|| "?".to_owned(), |code| code.to_string());
    scene.screen.printed(&format!("(exit code {code})"));
    Ok(())
}
