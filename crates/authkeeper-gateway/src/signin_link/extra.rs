//! Parameters that a provider wants in the authorization request.

use authkeeper::{catalogue, error::TokenError, model::ConnectionName, runtime::Runtime};

/// The extra authorization request parameters of the connection's provider, from the catalogue.
///
/// # Errors
///
/// When the connection can't be read.
pub async fn extra_parameters(
    runtime: &Runtime,
    name: &ConnectionName,
) -> Result<Vec<(String, String)>, TokenError> {
    let known = runtime.status(name).await?.connection.provider;
    let known = known.and_then(|provider| catalogue::named(&provider));
    let parameters = known.map(|entry| entry.scopes.parameters.clone());
    Ok(parameters.into_iter().flatten().collect())
}
