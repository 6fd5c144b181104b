//! What is noticed of a provider, and what follows from it.

use super::{server::Fault, *};
use crate::model::NoticeKind;

async fn noticed(runtime: &Runtime) -> Vec<(NoticeKind, String, u64)> {
    let all = runtime.noticed().await.unwrap();
    all.into_iter()
        .map(|one| (one.notice.kind, one.notice.detail, one.times))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_fits_nothing_is_counted_by_its_shape() {
    let (bench, runtime) = Bench::new().await;
    let odd = r#"{"sorry":"refresh-1","error":"out_of_cheese"}"#;
    bench.server.script([Fault::Says(418, odd); 2]);
    bench.clock.advance(secs(3600));
    for _ in 0..2 {
        assert!(ask(&runtime).await.is_err());
        bench.clock.advance(secs(600));
    }
    let shape = "418 application/json, {error, sorry}, error out_of_cheese, under 64 bytes";
    assert_eq!(
        noticed(&runtime).await,
        [(NoticeKind::OddAnswer, shape.to_owned(), 2)]
    );
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(noticed(&runtime).await.len(), 1, "tokens are not odd");
}
