//! Tokens that arrive in odd shapes are used, and none that is spent is sent again: the real binary against a token
//! endpoint that rotates its refresh tokens and takes each once.
use e2e::ground::Ground;
use e2e::home::Home;
use e2e::scenario::{newest, until_expired};

/// Access tokens live so many seconds.
const TTL: u32 = 2;

fn mode(shape: &str) -> String {
    format!("refresh-shape-{shape}")
}

/// Connections whose refreshes are answered in these shapes.
fn ground(shapes: &[&str]) -> Ground {
    let ground = Ground::with_ttl(Home::new(), TTL);
    for shape in shapes {
        ground.connect(shape, &mode(shape));
    }
    ground
}

/// The next refresh of a connection spends one refresh token and hands out what came for it.
fn refreshes_once(ground: &Ground, shape: &str) {
    until_expired(&ground.home, shape);
    let before = ground.exchanges(&mode(shape));
    let token = ground.token(shape);
    assert_eq!(token, newest(&ground.server, "access_token"), "{shape}");
    assert_eq!(ground.exchanges(&mode(shape)), before + 1, "{shape}");
}

#[test]
fn tokens_in_odd_shapes_are_used_and_the_next_refresh_works_too() {
    let shapes = [
        "empty-error",
        "null-error",
        "none-error",
        "bom",
        "gzip",
        "gzip-unsaid",
        "deflate",
        "form",
        "form-as-text",
        "doubled-type",
        "nested",
        "camel-case",
        "own-type",
        "length-too-long",
    ];
    let ground = ground(&shapes);
    for _ in 0..2 {
        for shape in shapes {
            refreshes_once(&ground, shape);
        }
    }
    ground.expect_no_leak();
}

#[test]
fn a_lifetime_that_makes_no_sense_in_seconds_is_read_as_what_it_is() {
    let shapes = ["milliseconds", "unix-time"];
    let ground = ground(&shapes);
    for shape in shapes {
        refreshes_once(&ground, shape);
        let (left, due) = ground.seconds(shape);
        assert!((3_000..=3_600).contains(&left), "{shape}: {left} s left");
        assert!(due < left, "{shape}: due in {due} s");
    }
}

#[test]
fn a_refresh_token_without_an_access_token_is_spent_with_the_scope() {
    let ground = ground(&[]);
    let url = ground.url(&mode("refresh-alone"));
    let connect = ["connect", "refresh-alone", &url, "--scope", "read"];
    let _ = ground.home.run(&connect).expect_code(0);
    until_expired(&ground.home, "refresh-alone");
    let (mode, before) = (
        mode("refresh-alone"),
        ground.exchanges(&mode("refresh-alone")),
    );
    let token = ground.token("refresh-alone");
    assert_eq!(token, newest(&ground.server, "access_token"));
    assert_eq!(
        ground.exchanges(&mode),
        before + 2,
        "the second names the scope"
    );
    until_expired(&ground.home, "refresh-alone");
    ground.token("refresh-alone");
    assert_eq!(ground.exchanges(&mode), before + 3, "every later one does");
    let doctor = ground.home.run(&["doctor", "--verbose", "--offline"]);
    assert!(
        doctor.stdout.contains("without an access token"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn an_answer_that_can_not_be_read_is_kept_and_read_again() {
    let ground = ground(&["twice"]);
    until_expired(&ground.home, "twice");
    let before = ground.exchanges(&mode("twice"));
    ground
        .home
        .run(&["token", "twice"])
        .expect_failure(69, &["unread_tokens"]);
    let person = ground.home.run(&["token", "twice"]);
    person.expect_failure(75, &["can't read", "doctor --reread twice"]);
    let doctor = ground.home.run(&["doctor", "--offline"]).stdout;
    for said in ["{mine, other}", "doctor --reread twice"] {
        assert!(doctor.contains(said), "{said}: {doctor}");
    }
    let again = ground.home.run(&["doctor", "--reread", "twice"]);
    again.expect_failure(65, &["{mine, other}", "tokens_in"]);

    let status = ground.home.run(&["status", "twice", "--json"]).json();
    let issuer = status[0]["issuer"]
        .as_str()
        .unwrap_or_else(|| panic!("{status}"));
    ground
        .home
        .write_config(&format!("[provider.\"{issuer}\"]\ntokens_in = \"mine\"\n"));
    let adopted = ground.home.run(&["doctor", "--reread", "twice", "--json"]);
    assert_eq!(adopted.expect_code(0).json()["adopted"], true);
    assert_eq!(
        ground.exchanges(&mode("twice")),
        before + 1,
        "nothing was sent again"
    );
    refreshes_once(&ground, "twice");
    ground
        .home
        .run(&["doctor", "--reread", "nobody"])
        .expect_failure(66, &["nobody"]);
    ground.expect_no_leak();
}
