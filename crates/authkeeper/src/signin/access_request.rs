//! The scope and the resource that a sign-in asks for.

use crate::{
    model::{Resource, Scope},
    oauth::{authorize::scope_to_ask, discovery::Discovered},
    signin::{ConnectRequest, error::listed},
};

/// What the sign-in asks for.
#[derive(Clone, Debug)]
pub(super) struct AccessRequest {
    pub(super) scope: Option<Scope>,
    pub(super) resource: Option<Resource>,
}

impl AccessRequest {
    /// What a person asks for; `offline_access` is added where the server lists it.
    pub(super) fn of_a_person(request: &ConnectRequest, found: &Discovered) -> Self {
        let metadata = &found.provider.metadata;
        let chosen = chosen(request, found);
        Self {
            scope: scope_to_ask(chosen, found.scope.clone(), metadata),
            ..Self::of_ours(request, found)
        }
    }

    /// What our client asks for itself: it has no use for offline access.
    pub(super) fn of_ours(request: &ConnectRequest, found: &Discovered) -> Self {
        Self {
            scope: chosen(request, found).or_else(|| found.scope.clone()),
            resource: (request.resource.clone())
                .or_else(|| found.resource.clone())
                .filter(|_| !request.requests.without_resource),
        }
    }
}

impl AccessRequest {
    /// The scopes that the server lists, where none is asked for: a person may choose among them.
    pub(super) fn unasked(&self, found: &Discovered) -> Option<Scope> {
        listed(found).filter(|_| self.scope.is_none())
    }
}

/// What is asked for whatever the resource wants: what a person chose or an earlier sign-in asked for, and what calls were
/// refused for lack of since.
pub(super) fn chosen(request: &ConnectRequest, found: &Discovered) -> Option<Scope> {
    let scope = request.scope.clone()?;
    let scope = match &found.listed {
        Some(listed) if request.also_listed => scope.union(listed),
        _ => scope,
    };
    let offered = &found.provider.metadata.scopes_supported;
    let moved = (request.same_issuer.as_ref()).is_some_and(|was| *was != found.provider.issuer);
    // Asked for where the server before listed it; this one may not know it.
    if moved && !offered.iter().any(|offered| offered == "offline_access") {
        let rest = scope.iter().filter(|word| *word != "offline_access");
        let rest = Scope::new(rest.collect::<Vec<_>>().join(" "));
        return Some(rest).filter(|scope| !scope.is_empty());
    }
    Some(scope)
}
