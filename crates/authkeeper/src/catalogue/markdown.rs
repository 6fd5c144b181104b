//! The catalogue as a page of the documentation.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use super::{Entry, ErrorRow, Limit, Rotation, Software, Source, TriState, all, software};

const HEAD: &str = "# Providers

Connect one of these by name (`authkeeper connect NAME --provider PROVIDER`), with the console steps below. This page is made from the
catalogue in `crates/authkeeper/src/catalogue`; change the files there, then run

```
UPDATE_DOCS=1 cargo test -p authkeeper --lib catalogue
```

Every fact has a source and the day it was read. `unknown` means not determined: authkeeper then applies the careful rule. A `replay`
setting in the configuration overrides the rule here.

Hosted MCP servers are connected by discovery, with the issuer they name; the rules of the API do not apply to them.

";

/// The whole page.
pub(super) fn markdown() -> String {
    let mut page = String::from(HEAD);
    // Writing to a string can't fail.
    let _ = write_page(&mut page);
    page
}

fn write_page(page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "| name | provider | ways to sign in | new refresh token | replay | access token | MCP server |"
    )?;
    writeln!(page, "| --- | --- | --- | --- | --- | --- | --- |")?;
    for entry in all() {
        write_row(page, entry)?;
    }
    for entry in all() {
        write_entry(page, entry)?;
    }
    writeln!(
        page,
        "\n# Server software\n\nSelf-hosted authorization servers, recognized by their behaviour."
    )?;
    for server in software() {
        write_software(page, server)?;
    }
    Ok(())
}

fn write_row(page: &mut String, entry: &Entry) -> fmt::Result {
    let grants: Vec<&str> = entry
        .scopes
        .grants
        .iter()
        .map(|grant| grant.as_str())
        .collect();
    writeln!(
        page,
        "| [{name}](#{name}) | {} | {} | {} | {} | {} | {} |",
        entry.title,
        grants.join(", "),
        entry.rotation.rotates,
        entry.rotation.replay,
        entry.lifetimes.access,
        entry.api.mcp.as_deref().unwrap_or("-"),
        name = entry.name,
    )
}

fn write_entry(page: &mut String, entry: &Entry) -> fmt::Result {
    writeln!(
        page,
        "\n## {}\n\n{} · [documentation]({})",
        entry.name, entry.title, entry.docs
    )?;
    if !entry.aliases.is_empty() {
        writeln!(page, "Also called {}.", entry.aliases.join(", "))?;
    }
    paragraph(page, &entry.about)?;
    for asked in &entry.placeholders {
        let default = asked
            .default
            .as_deref()
            .map(|d| format!(", else `{d}`"))
            .unwrap_or_default();
        writeln!(
            page,
            "\n`{{{}}}`: {} For example `{}`{default}.",
            asked.name, asked.question, asked.example
        )?;
    }
    write_console(page, entry)?;
    write_scopes(page, entry)?;
    write_rotation(page, &entry.rotation)?;
    write_lifetimes(page, entry)?;
    write_token(page, entry)?;
    paragraph(page, &entry.api.note)?;
    write_errors(page, &entry.errors)?;
    write_api_key(page, entry)?;
    list(page, "Not verified", &entry.unverified)?;
    write_sources(page, &entry.sources)
}

fn write_console(page: &mut String, entry: &Entry) -> fmt::Result {
    let place = entry.client.console_url.as_deref();
    let heading = place.map_or("In the console".to_owned(), |url| {
        format!("In the [console]({url})")
    });
    writeln!(page, "\n{heading}:\n")?;
    for (number, step) in entry.client.console.iter().enumerate() {
        writeln!(page, "{}. {step}", number + 1)?;
    }
    let methods: Vec<&str> = entry
        .client
        .auth
        .iter()
        .map(|method| method.as_str())
        .collect();
    writeln!(
        page,
        "\nClient authentication {}; PKCE {}; redirect to this machine: {}. {}",
        methods.join(", "),
        entry.client.pkce,
        entry.client.loopback,
        entry.client.redirect_note,
    )
}

fn write_scopes(page: &mut String, entry: &Entry) -> fmt::Result {
    let code = |scopes: &[String]| {
        scopes
            .iter()
            .map(|s| format!("`{s}`"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    if !entry.scopes.default.is_empty() {
        writeln!(page, "\nDefault scopes: {}.", code(&entry.scopes.default))?;
    }
    if !entry.scopes.for_refresh.is_empty() {
        writeln!(
            page,
            "\nNo refresh token without {}.",
            code(&entry.scopes.for_refresh)
        )?;
    }
    let pairs: Vec<String> = entry
        .scopes
        .parameters
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    if !pairs.is_empty() {
        writeln!(page, "\nSent with the sign-in: {}.", code(&pairs))?;
    }
    paragraph(page, &entry.scopes.note)
}

fn write_token(page: &mut String, entry: &Entry) -> fmt::Result {
    let token = &entry.token;
    let code = |fields: &BTreeMap<String, String>| {
        let fields = fields
            .iter()
            .map(|(name, value)| format!("`{name}={value}`"));
        fields.collect::<Vec<_>>().join(" ")
    };
    if let Some(field) = &token.nested_in {
        writeln!(
            page,
            "\nThe answer holds the tokens in `{field}`, if not on top."
        )?;
    }
    if token.scope_in_refresh {
        writeln!(page, "\nA refresh names the granted scope.")?;
    }
    if !token.exchange_parameters.is_empty() {
        let fields = code(&token.exchange_parameters);
        writeln!(page, "\nSent with the exchange of a code: {fields}.")?;
    }
    if !token.refresh_parameters.is_empty() {
        let fields = code(&token.refresh_parameters);
        writeln!(page, "\nSent with a refresh: {fields}.")?;
    }
    for retired in &entry.endpoints.retired {
        writeln!(
            page,
            "\nThe token endpoint {} ends on {}.",
            retired.url, retired.ends
        )?;
    }
    paragraph(page, &token.note)
}

fn write_rotation(page: &mut String, rotation: &Rotation) -> fmt::Result {
    write!(
        page,
        "\nNew refresh token: {}; a replay: **{}**.",
        rotation.rotates, rotation.replay
    )?;
    match rotation.kills_access_token {
        TriState::Yes => write!(page, " A refresh ends the old access token.")?,
        TriState::No => write!(page, " The old access token stays valid.")?,
        TriState::Unknown => {}
    }
    match rotation.extends {
        TriState::Yes => write!(page, " A refresh lengthens the grant.")?,
        TriState::No => write!(page, " A refresh does not lengthen the grant.")?,
        TriState::Unknown => {}
    }
    if !rotation.note.is_empty() {
        write!(page, " {}", rotation.note)?;
    }
    writeln!(page)
}

fn write_lifetimes(page: &mut String, entry: &Entry) -> fmt::Result {
    let lives = &entry.lifetimes;
    let all = [lives.access, lives.refresh, lives.refresh_idle];
    if all.iter().any(|limit| *limit != Limit::Unknown) {
        let [access, refresh, idle] = all;
        writeln!(
            page,
            "\nLifetimes: access token {access}, grant {refresh}, unused refresh token {idle}."
        )?;
    }
    list(page, "Other limits", &lives.others)
}

fn write_errors(page: &mut String, errors: &[ErrorRow]) -> fmt::Result {
    if errors.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n| when | answer | means |\n| --- | --- | --- |")?;
    for row in errors {
        let says = row
            .description
            .as_deref()
            .map(|text| format!(" \"{text}\""))
            .unwrap_or_default();
        writeln!(
            page,
            "| {} | {} `{}`{says} | {} |",
            row.when, row.status, row.code, row.means
        )?;
    }
    Ok(())
}

fn write_api_key(page: &mut String, entry: &Entry) -> fmt::Result {
    let Some(key) = &entry.api_key else {
        return Ok(());
    };
    let sent = [key.scheme.as_str(), "KEY"].join(" ");
    let place = key
        .url
        .as_deref()
        .map(|url| format!(" [Create one here]({url})."))
        .unwrap_or_default();
    writeln!(
        page,
        "\nAPI keys: {}, sent as `{}: {}`; lifetime {}.{place} {}",
        key.called,
        key.header,
        sent.trim(),
        key.lifetime,
        key.rotation,
    )
}

fn write_software(page: &mut String, server: &Software) -> fmt::Result {
    writeln!(
        page,
        "\n## {}\n\n{} · [home]({})",
        server.name, server.title, server.docs
    )?;
    list(page, "Recognized by", &server.recognised_by)?;
    write_rotation(page, &server.rotation)?;
    list(page, "Traps", &server.traps)?;
    write_errors(page, &server.errors)?;
    write_sources(page, &server.sources)
}

fn write_sources(page: &mut String, sources: &[Source]) -> fmt::Result {
    writeln!(page, "\nSources:\n")?;
    for source in sources {
        let facts: Vec<&str> = source.supports.iter().map(|fact| fact.as_str()).collect();
        let note = if source.note.is_empty() {
            String::new()
        } else {
            format!(" ({})", source.note)
        };
        writeln!(
            page,
            "- {}, {}, {}: {}{note}",
            source.url,
            source.date,
            source.kind,
            facts.join(", ")
        )?;
    }
    Ok(())
}

fn list(page: &mut String, heading: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n{heading}:\n")?;
    items.iter().try_for_each(|item| writeln!(page, "- {item}"))
}

fn paragraph(page: &mut String, text: &str) -> fmt::Result {
    if text.is_empty() {
        Ok(())
    } else {
        writeln!(page, "\n{text}")
    }
}
