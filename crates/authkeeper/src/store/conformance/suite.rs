//! Runs every check.

use std::future::Future;

use crate::store::conformance::{
    claims::{claims, many_writers, racing_for_claims, taking_over_and_releasing},
    commits::{commits, held_commits, keeping_subjects, lasting_refusals, refusals},
    fixture::Pair,
    incidents::{amended_incidents, incidents, step_ups, validations},
    kept_refresh_tokens,
    provider::{failing, grants_whose_issuer_is_over, kinds_of_failing, noticing, refused_clients},
    sharing,
    sign_ins::{
        disconnecting, forgetting_spares_a_new_sign_in, imported_grants, keys, own_grants,
        pending_sign_ins, secrets_of_a_client, sign_ins,
    },
    tasks::{changes_are_seen, runs, tasks_and_calls},
};

/// Runs every check, each on a fresh store.
pub async fn run<F, Fut>(mut fresh: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Pair>,
{
    claims(&*fresh().await.0).await;
    taking_over_and_releasing(&*fresh().await.0).await;
    keeping_subjects(&*fresh().await.0).await;
    commits(&*fresh().await.0).await;
    held_commits(&*fresh().await.0).await;
    lasting_refusals(&*fresh().await.0).await;
    noticing(&*fresh().await.0).await;
    refusals(&*fresh().await.0).await;
    sign_ins(&*fresh().await.0).await;
    secrets_of_a_client(&*fresh().await.0).await;
    kept_refresh_tokens::run(&mut fresh).await;
    pending_sign_ins(&*fresh().await.0).await;
    sharing::run(&mut fresh).await;
    imported_grants(&*fresh().await.0).await;
    own_grants(&*fresh().await.0).await;
    keys(&*fresh().await.0).await;
    disconnecting(&*fresh().await.0).await;
    forgetting_spares_a_new_sign_in(&*fresh().await.0).await;
    incidents(&*fresh().await.0).await;
    amended_incidents(&*fresh().await.0).await;
    step_ups(&*fresh().await.0).await;
    validations(&*fresh().await.0).await;
    failing(fresh().await).await;
    kinds_of_failing(&*fresh().await.0).await;
    refused_clients(&*fresh().await.0).await;
    grants_whose_issuer_is_over(&*fresh().await.0).await;
    tasks_and_calls(&*fresh().await.0).await;
    runs(&*fresh().await.0).await;
    changes_are_seen(fresh().await).await;
    many_writers(fresh().await).await;
    racing_for_claims(fresh().await).await;
}
