use futures_util::FutureExt;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn turns(total: Option<usize>, per_tenant: Option<usize>) -> Turns {
    let concurrency = Concurrency {
        total,
        per_tenant,
        waiting: 10,
        patience: PATIENCE,
    };
    Turns::new(Direction::Upload, concurrency)
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nobody_waits_and_nothing_is_kept() {
    let turns = turns(None, None);
    let mut held = Vec::new();
    for _ in 0..1000 {
        let turn = turns.take(&Tenant::new("a")).now_or_never();
        held.push(turn.expect("waits").unwrap());
    }
    assert_eq!(turns.census(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_come_is_refused_in_time_and_forgotten() {
    let (turns, a, b) = (turns(Some(1), None), Tenant::new("a"), Tenant::new("b"));
    let held = turns.take(&a).await.unwrap();
    let start = Instant::now();
    let busy = turns.take(&b).await.unwrap_err();
    assert_eq!(start.elapsed(), PATIENCE);
    assert_eq!((busy.limit, busy.wait), (Limit::Total, Wait::TooLong));
    assert_eq!(
        busy.to_string(),
        "the server has as many uploads under way as it may, and none of them ended in time: nothing was changed, try \
         again in 30 s"
    );
    assert_eq!(turns.census(), (1, 1, 0));
    drop(held);
    assert_eq!(turns.census(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_turn_comes_when_another_ends() {
    let (turns, a) = (turns(None, Some(1)), Tenant::new("a"));
    let held = turns.take(&a).await.unwrap();
    let (busy, ()) = tokio::join!(turns.take(&a), async {
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert_eq!(turns.census(), (1, 1, 1));
        drop(held);
    });
    let second = busy.unwrap();
    // Another one's limit is its own.
    drop(
        turns
            .take(&Tenant::new("b"))
            .now_or_never()
            .expect("waits")
            .unwrap(),
    );
    let busy = turns.take(&a).await.unwrap_err();
    assert_eq!(busy.limit, Limit::Tenant);
    assert!(busy.to_string().starts_with("your project has as many uploads"));
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn many_of_one_tenant_do_not_hold_up_one_of_another() {
    let turns = std::sync::Arc::new(turns(Some(1), None));
    let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
    let first = turns.take(&Tenant::new("a")).await.unwrap();
    for (number, tenant) in ["a", "a", "a", "a", "a", "b"].into_iter().enumerate() {
        let (turns, done) = (turns.clone(), done.clone());
        tokio::spawn(async move {
            let turn = turns.take(&Tenant::new(tenant)).await.unwrap();
            done.send((tenant, number)).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(turn);
        });
        tokio::task::yield_now().await;
    }
    drop(first);
    assert_eq!(order.recv().await, Some(("b", 5)));
    for number in 0..5 {
        assert_eq!(order.recv().await, Some(("a", number)));
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_may_wait_are_refused_at_once() {
    let turns = turns(Some(1), None);
    let tenant = Tenant::new("a");
    let held = turns.take(&tenant).await.unwrap();
    let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(turns.take(&tenant))).collect();
    for wait in &mut waiting {
        assert!(wait.now_or_never().is_none());
    }
    let busy = turns.take(&tenant).now_or_never().expect("waits").unwrap_err();
    assert_eq!(busy.wait, Wait::TooMany);
    drop(waiting);
    assert_eq!(turns.census(), (1, 1, 0));
    drop(held);
}
