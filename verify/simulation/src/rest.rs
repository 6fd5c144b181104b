//! What must be so once everything has come to rest.

use std::time::Duration;

use authkeeper::model::GrantLifecycle;

use crate::{
    people,
    provider::SimToken,
    schedule::Driver,
    truth::{GrantSnapshot, Violation},
    world::TokenCall,
};

/// Longer than a refused token is left alone.
const PROBE: Duration = Duration::from_hours(13);

/// The tokens of the family signed in last that we hold and the provider would take.
fn good(driver: &Driver) -> Vec<SimToken> {
    let mut world = driver.sim.lock();
    let (family, now) = (world.truth.family, world.now);
    let mut durable = world.durable();
    durable.retain(|token| token.family == family && world.provider.is_good(*token, now));
    durable
}

pub(crate) fn judge(driver: &mut Driver) {
    if driver.sim.lock().truth.disconnected {
        return disconnected(driver);
    }
    let row = GrantSnapshot::current(&driver.sim.rows());
    let was_disabled = driver.sim.lock().truth.was_disabled;
    let refused = matches!(
        row.as_ref().map(|row| &row.lifecycle),
        Some(GrantLifecycle::ReauthorizationRequired { .. })
    );
    if refused && was_disabled && !good(driver).is_empty() {
        // An account that is enabled again comes back by itself.
        driver.run_for(PROBE);
        driver.settle();
    }
    if driver.is_over() {
        return;
    }
    driver.ask(TokenCall::Plain);
    let row = GrantSnapshot::current(&driver.sim.rows());
    let Some(row) = row else {
        let lost = SimToken {
            family: driver.sim.lock().truth.family,
            index: 0,
        };
        driver.sim.lock().broke(Violation::SignInUndone(lost));
        return;
    };
    let held = good(driver);
    let works = row.lifecycle == GrantLifecycle::Active
        && row.refresh.is_some_and(|token| held.contains(&token));
    let end = if works {
        "schedule: works"
    } else {
        "schedule: a person must sign in"
    };
    let mut world = driver.sim.lock();
    world.coverage.ended(end);
    if let Some(token) = held.first().filter(|_| !works) {
        world.broke(Violation::LostForNothing(*token));
    }
    world.check_reachable();
}

/// A disconnect that was cut off is done again; then nothing good may be left.
fn disconnected(driver: &mut Driver) {
    for _ in 0..5 {
        if GrantSnapshot::current(&driver.sim.rows()).is_none() || driver.is_over() {
            break;
        }
        driver.person(|sim, runtime| Box::pin(people::disconnect(sim, runtime)));
        for _ in 0..20 {
            if driver.person_is_at_it() {
                driver.run_for(Duration::from_secs(10));
            }
        }
    }
    if !driver.is_over() {
        // The next job of a crontab: any process cleans up after those that died.
        driver.ask(TokenCall::Plain);
        driver.run_for(Duration::from_mins(1));
    }
    let left = good(driver);
    let mut world = driver.sim.lock();
    world.coverage.ended("schedule: disconnected");
    if let Some(token) = left.first() {
        world.broke(Violation::LeftUnrevoked(*token));
    }
}
