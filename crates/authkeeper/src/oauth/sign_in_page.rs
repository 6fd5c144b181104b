//! The pages that a sign-in shows in a browser. Nothing in them comes from elsewhere, and what others wrote is text.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// A page for the person who signs in: what became of it, for which connection, and what to do next.
#[derive(Clone, Debug)]
pub struct SignInPage {
    status: StatusCode,
    title: String,
    text: String,
    facts: Vec<(&'static str, String)>,
    next: Option<String>,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b2733;--dim:#4a5b6c;--paper:#f7f9fb;--card:#fff;--line:#d9e0e7;--good:#1a7f4b;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9fb0c0;--paper:#12181f;--card:#1a222b;--line:#2d3946;--good:#5fd39a;--bad:#ff8f87}}\
*{box-sizing:border-box}body{margin:0;padding:1rem;font:17px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);\
overflow-wrap:anywhere}main{max-width:36rem;margin:12vh auto 0;padding:1.5rem;background:var(--card);border:1px solid var(--line);\
border-radius:12px}h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}.good h1{color:var(--good)}.bad h1{color:var(--bad)}p{margin:.5rem 0}\
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.25rem 1rem;margin:1rem 0 0}dt{color:var(--dim)}dd{margin:0}\
.next{margin-top:1rem;padding-top:.75rem;border-top:1px solid var(--line)}\
@media(max-width:30rem){main{margin-top:.5rem;padding:1rem}dl{grid-template-columns:1fr;gap:0}dt{margin-top:.5rem}}";

impl SignInPage {
    /// A page with a title and a sentence.
    pub fn new(status: StatusCode, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            text: text.into(),
            facts: vec![],
            next: None,
        }
    }

    /// Adds a line: what it is about, and which.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((label, value.into()));
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// The page as it is sent.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.html().into()));
        *response.status_mut() = self.status;
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'",
            ),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn html(&self) -> String {
        let tone = match self.status.as_u16() {
            200 => "good",
            400.. => "bad",
            _ => "",
        };
        let (title, text) = (escaped(&self.title), escaped(&self.text));
        let fact = |(label, value): &(&str, String)| {
            format!("<dt>{label}</dt><dd>{}</dd>", escaped(value))
        };
        let facts: String = self.facts.iter().map(fact).collect();
        let facts = if facts.is_empty() {
            facts
        } else {
            format!("<dl>{facts}</dl>")
        };
        let next = self.next.as_ref();
        let next = next.map(|next| format!("<p class=next><b>Next:</b> {}</p>", escaped(next)));
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>\
             <title>{title} · authkeeper</title><style>{STYLE}</style><main class='{tone}'><h1>{title}</h1><p>{text}</p>{facts}{}\
             </main></html>",
            next.unwrap_or_default()
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_no_page() {
        let page = SignInPage::new(StatusCode::BAD_REQUEST, "Not signed in", "it said: <b>&")
            .with("Server", "https://mcp.example/<script>")
            .next("authkeeper connect <x>");
        let html = page.html();
        assert!(
            html.contains("it said: &lt;b&gt;&amp;") && html.contains("connect &lt;x&gt;"),
            "{html}"
        );
        assert!(
            !html.contains("<script>") && html.contains("class='bad'"),
            "{html}"
        );
    }

    #[test]
    fn a_page_has_both_themes_fits_a_phone_and_loads_nothing() {
        let page = SignInPage::new(StatusCode::OK, "Signed in", "You can close this page.");
        let html = page.html();
        for part in [
            "prefers-color-scheme:dark",
            "color-scheme:light dark",
            "width=device-width",
            "class='good'",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(
            !html.contains("<dl>") && !html.contains("Next:") && !html.contains("http"),
            "{html}"
        );
        let policy = page.response().headers()[header::CONTENT_SECURITY_POLICY].clone();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'"));
    }
}
