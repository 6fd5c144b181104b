//! Every target on its corpus and a few thousand cases made from it, the same each time.

/// One test a target.
macro_rules! smoke {
    ($($name:ident: $cases:literal)+) => {
        $(#[test]
        fn $name() {
            authkeeper_fuzz::smoke(stringify!($name), $cases);
        })+

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),+];
            let all: Vec<&str> = authkeeper_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, run);
        }
    };
}

smoke! {
    token_answer: 4_000
    answers: 6_000
    classify: 4_000
    challenge: 4_000
    discovery: 2_000
    device: 4_000
    poll: 4_000
    redirect: 4_000
    pushed: 4_000
    registration: 3_000
    seal: 2_000
    journal: 1_000
    shelf: 1_000
    catalogue: 2_000
    url: 4_000
}
