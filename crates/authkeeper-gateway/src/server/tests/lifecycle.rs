//! Everything that goes on in the background ends with the stop.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use authkeeper::{
    http::HttpUrl,
    model::{ConnectionName, Event},
    runtime::Runtime,
};
use http::Response;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Handle,
    sync::mpsc,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

use super::{
    super::{
        Limits, McpEndpoint, RunProxy,
        access::AccessRules,
        error_response::{Audience, ERROR_HEADER},
        public_sign_in, refresh_all,
    },
    rig::{HANDLE, Stands},
};
use crate::{
    alerts::{Notifier, Watcher},
    body::sent,
    check::{ValidatorSettings, validate},
    forward::{
        Forwarder,
        tests::{FakeAuthority, Server, notion, record},
    },
    lifecycle::Lifecycle,
    open_incidents::OpenIncidents,
    report::Report,
    signin_link::{IncidentLinks, LinkHost, Links, PublicSignIn, PublicUrl, SignInHost as _},
};

const MOMENT: Duration = Duration::from_secs(10);

fn runtime() -> (Runtime, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::builder(folder.path()).open().unwrap();
    (runtime, folder)
}

fn pages(lifecycle: &Lifecycle, url: &str) -> (PublicSignIn, TempDir) {
    let (runtime, folder) = runtime();
    let url = PublicUrl::new(HttpUrl::parse(url).unwrap()).unwrap();
    let links = Links::beside(folder.path());
    (PublicSignIn::new(lifecycle, runtime, links, url), folder)
}

/// A connection whose request never comes whole, or whose answer never ends.
async fn connected(port: u16, sent: &str, until: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all(sent.as_bytes()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains(until) {
        let mut part = [0; 1024];
        let read = timeout(MOMENT, socket.read(&mut part)).await.unwrap();
        let part = part.get(..read.unwrap()).unwrap();
        seen.push_str(std::str::from_utf8(part).unwrap());
    }
    socket
}

/// All that a process has in the background, each part at work.
async fn begin(lifecycle: &Lifecycle, server: &Server) -> (TempDir, LinkHost, [TcpStream; 3]) {
    let (runtime, folder) = runtime();
    let links = Links::beside(folder.path());
    refresh_all(lifecycle, &runtime).await.unwrap();
    let authority = FakeAuthority::new(&server.url, 1);
    let forwarder = Forwarder::new(authority).over(lifecycle, Arc::default());
    let forwarder = Arc::new(forwarder);
    let settings = ValidatorSettings {
        every: Duration::from_secs(1),
        connections: None,
    };
    validate(lifecycle, runtime.clone(), Arc::clone(&forwarder), settings);
    let incidents = IncidentLinks::new(links.clone(), None);
    let incidents = Arc::new(OpenIncidents::of_all(runtime.clone(), incidents));
    let report = || Report::new(std::io::sink());
    Watcher::new(lifecycle, incidents, Notifier::default(), report()).in_background(lifecycle);
    let (limits, handle) = (Limits::default(), || HANDLE.to_owned().into());
    let (health, for_run) = (Arc::new(Stands::default()), Arc::clone(&forwarder));
    let endpoint = McpEndpoint::bind(lifecycle, forwarder, handle(), 0, limits, health);
    let endpoint = endpoint.await.unwrap();
    let proxy = RunProxy::bind(lifecycle, for_run, handle(), vec![notion()], limits);
    let proxy = proxy.await.unwrap();
    let host = LinkHost::new(lifecycle, runtime, links, report(), None);
    let lost = record(Event::ReauthorizationRequired, "other");
    let other = ConnectionName::parse("other").unwrap();
    let link = host.invite(&other, &lost).await.unwrap();
    let link: HttpUrl = HttpUrl::parse(&link).unwrap();
    let ports = (
        endpoint.port(),
        proxy.port(),
        link.uri().port_u16().unwrap(),
    );
    endpoint.serve();
    proxy.serve();
    let call = format!("authorization: Bearer {HANDLE}\r\n\r\n");
    let call = |port, path| format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{call}");
    let sockets = [
        connected(ports.0, "GET /mcp/notion HTTP/1.1\r\n", "").await,
        connected(ports.1, &call(ports.1, "/c/notion"), "data: one").await,
        connected(ports.2, "GET / HTTP/1.1\r\n", "").await,
    ];
    (folder, host, sockets)
}

#[tokio::test]
async fn no_task_outlives_a_stop() {
    // A stream that nobody ends.
    let (feed, events) = mpsc::channel(1);
    feed.send("data: one\n\n".into()).await.unwrap();
    let events = Mutex::new(Some(events));
    let server = Server::start(move |_, _| {
        let events = events.lock().unwrap().take().unwrap();
        async move { Response::new(sent(events)) }
    })
    .await;
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let lifecycle = Lifecycle::default();
    let (_folder, host, sockets) = begin(&lifecycle, &server).await;
    let tasks = lifecycle.tasks();
    assert!(tasks >= 9, "{tasks} tasks");
    // The stream of the run's call goes on.
    assert!(!lifecycle.end(Duration::from_millis(200)).await);
    assert_eq!(lifecycle.tasks(), 0);
    drop((host, sockets));
    // The server's own task for the call ends when it sees the end of the connection.
    let ended = timeout(MOMENT, async {
        while alive() > before {
            sleep(Duration::from_millis(10)).await;
        }
    });
    let ended = ended.await;
    assert!(ended.is_ok(), "{} tasks go on, {before} before", alive());
}

#[tokio::test]
async fn the_pages_of_a_public_url_are_served_whatever_its_path() {
    let lifecycle = Lifecycle::default();
    for prefix in [
        "",
        "/ak",
        "/a/b",
        "/{a}",
        "/{*a}",
        "/:a/*b",
        "/mcp",
        "/livez",
        "/sign-in/x",
    ] {
        let access = Arc::new(AccessRules {
            audience: Audience::Daemon,
            port: 4711,
            handle: HANDLE.to_owned().into(),
        });
        let (pages, _folder) = pages(&lifecycle, &format!("https://keeper.example{prefix}"));
        let router = public_sign_in::router(access, pages);
        for path in [format!("{prefix}/sign-in/x/a1"), "/sign-in/x/a1".to_owned()] {
            let request = http::Request::get(&path).header("host", "keeper.example");
            let request = request.body(axum::body::Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 404, "{path}");
            let kind = &answer.headers()["content-type"];
            assert!(kind.to_str().unwrap().starts_with("text/html"), "{path}");
            assert!(!answer.headers().contains_key(ERROR_HEADER), "{path}");
        }
    }
}
